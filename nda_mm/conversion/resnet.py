"""Identify a ResNet by its weights, translate its layer names between frameworks, and check that it is complete.

All names are first translated to plain names. These are torchvision's, which the ResNets of mmpretrain and mmdet share:
``conv1.weight``, ``bn1.bias``, ``layer1.0.downsample.0.weight``. Other models differ:

=====================  ==================================  ================================
model                  name                                plain name
=====================  ==================================  ================================
mmaction2 ResNet       ``layer1.0.conv2.conv.weight``      ``layer1.0.conv2.weight``
mmaction2 ResNet       ``layer1.0.conv2.bn.weight``        ``layer1.0.bn2.weight``
mmaction2 ResNet       ``layer2.0.downsample.conv.weight`` ``layer2.0.downsample.0.weight``
mmaction2 ResNetTSM    ``layer1.0.conv1.conv.net.weight``  ``layer1.0.conv1.weight``
mmdet, deep stem       ``stem.3.weight``, ``stem.4.bias``  ``stem.1.conv.weight``, ``stem.1.bn.bias``
mmdet ResNetV1d        ``layer1.0.downsample.1.weight``    ``layer1.0.downsample.0.weight``
=====================  ==================================  ================================

In the last row, shortcuts pool before they convolve, and mmdet adds a pooling layer of stride 1 to the first stage too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nda_mm.utils.messages import shorten

#: Modules of each of the three layers in mmdet's deep stem: convolution, normalization, activation.
_STEM_PARTS = ("conv", "bn", None)
_FIRST_SHORTCUT = "layer1.0.downsample."

_TO_PLAIN: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(^|\.)(?:net|block)\."), r"\1"),  # wrappers that shift in time: mmaction2, nda_mm.ShiftedBackbone
    (re.compile(r"(^|\.)conv(\d)\.conv\."), r"\1conv\2."),
    (re.compile(r"(^|\.)conv(\d)\.bn\."), r"\1bn\2."),
    (re.compile(r"\.downsample\.conv\."), ".downsample.0."),
    (re.compile(r"\.downsample\.bn\."), ".downsample.1."),
    (re.compile(r"^stem\.(\d)\.(?=[a-z_]+$)"), lambda match: _stem_layer(int(match[1]))),
)
_TO_MMACTION: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(^|\.)conv(\d)\."), r"\1conv\2.conv."),
    (re.compile(r"(^|\.)bn(\d)\."), r"\1conv\2.bn."),
    (re.compile(r"\.downsample\.0\."), ".downsample.conv."),
    (re.compile(r"\.downsample\.1\."), ".downsample.bn."),
)

#: Number of blocks in each stage, by kind of block and depth.
_DEPTHS = {
    "basic": {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
    "bottleneck": {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
}
_NORM = ("weight", "bias", "running_mean", "running_var")
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.(conv[123]|bn[123]|downsample\.\d+)\.\w+")
_PART = re.compile(r"(conv1|bn1|stem\.\d\.(conv|bn))\.\w+")


class BackboneMismatchError(ValueError):
    """Raised if weights are incomplete, or belong to a different network than the one that should load them."""


@dataclass(frozen=True)
class ResNetArchitecture:
    """Architecture of a ResNet, as far as its weights show it.

    Weights don't show strides, so ``style='caffe'`` and ``'pytorch'`` look alike.

    Args:
        block: 'basic' or 'bottleneck'.
        blocks: Number of blocks in each stage.
        stem: Kernel size of the first convolution, or 0 for a deep stem of three 3x3 convolutions.
        width: Number of channels that the first block receives.
        pooled_shortcut: Whether shortcuts pool before they convolve (ResNet-D).
        late_time: Whether it is a video network like DPC's: the stem and the first two stages see single frames, the
            last two stages see three frames at a time.
    """

    block: str
    blocks: tuple[int, ...]
    stem: int
    width: int
    pooled_shortcut: bool
    late_time: bool = False

    @property
    def depth(self) -> int | None:
        """Depth of 18, 34, 50, 101 or 152; None if the blocks fit none of them."""
        for depth, blocks in _DEPTHS[self.block].items():
            if self.blocks == blocks[: len(self.blocks)]:
                return depth
        return None

    def __str__(self) -> str:
        stem = f"{self.stem}x{self.stem} stem" if self.stem else "deep stem"
        kind = "2D3D-ResNet" if self.late_time else "ResNet"
        name = f"{kind}-{self.depth}" if self.depth else f"{kind} of {'-'.join(map(str, self.blocks))} {self.block}s"
        stages = "" if len(self.blocks) == 4 else f", first {len(self.blocks)} stages"
        pooled = ", pooled shortcuts" if self.pooled_shortcut else ""
        return f"{name} ({stem}, width {self.width}{pooled}{stages})"


def to_plain(name: str) -> str:
    """Translate the name of a backbone's tensor to its plain name.

    Args:
        name: Name in any of the frameworks, without a prefix such as ``backbone.``.

    Returns:
        Name in torchvision. Names that no ResNet has are unchanged.

    Example:
        >>> to_plain("layer1.0.conv1.bn.running_mean"), to_plain("layer2.0.downsample.conv.weight")
        ('layer1.0.bn1.running_mean', 'layer2.0.downsample.0.weight')
    """
    for pattern, plain in _TO_PLAIN:
        name = pattern.sub(plain, name)
    return name


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Map all tensors of a backbone to their plain names.

    Args:
        names: Names in one framework.

    Returns:
        The plain name of each name.

    Example:
        >>> plain_names(["layer1.0.downsample.1.weight", "layer1.0.downsample.2.weight"])
        {'layer1.0.downsample.1.weight': 'layer1.0.downsample.0.weight', 'layer1.0.downsample.2.weight': 'layer1.0...'}
    """
    plain = {name: to_plain(name) for name in names}
    if f"{_FIRST_SHORTCUT}2.weight" in plain.values():
        plain = {name: _renumber(to, -1) for name, to in plain.items()}
    return plain


def host_names(plain: Iterable[str], host: str) -> dict[str, str]:
    """Map all tensors of a ResNet from their plain names to those of a host.

    Args:
        plain: The plain names.
        host: 'mmdet', 'mmaction2', 'mmpretrain' or 'torchvision'.

    Returns:
        The host's name for each plain name.

    Example:
        >>> host_names(["conv1.weight", "bn1.bias"], "mmaction2")
        {'conv1.weight': 'conv1.conv.weight', 'bn1.bias': 'conv1.bn.bias'}
    """
    theirs = {name: _host_name(name, host) for name in plain}
    if host == "mmdet" and any(name.endswith(".downsample.2.weight") for name in theirs):
        theirs = {name: _renumber(to, 1) for name, to in theirs.items()}
    return theirs


def _host_name(name: str, host: str) -> str:
    if host == "mmaction2":
        for pattern, theirs in _TO_MMACTION:
            name = pattern.sub(theirs, name)
    elif host == "mmdet" and (stem := re.match(r"stem\.(\d)\.(conv|bn)\.", name)):
        return f"stem.{3 * int(stem[1]) + _STEM_PARTS.index(stem[2])}.{name[stem.end() :]}"
    return name


def _renumber(name: str, by: int) -> str:
    """Shift the index of a layer in the first stage's shortcut."""
    if not name.startswith(_FIRST_SHORTCUT):
        return name
    index, kind = name.removeprefix(_FIRST_SHORTCUT).split(".", 1)
    return f"{_FIRST_SHORTCUT}{int(index) + by}.{kind}"


def _stem_layer(index: int) -> str:
    layer, part = divmod(index, 3)
    return f"stem.{layer}.{_STEM_PARTS[part] or 'activation'}."


def is_resnet_name(name: str) -> bool:
    """Return whether a plain name belongs to a ResNet, excluding its classifier.

    Example:
        >>> is_resnet_name("layer1.0.bn2.weight"), is_resnet_name("fc.weight"), is_resnet_name("blocks.0.norm1.weight")
        (True, False, False)
    """
    return _BLOCK.fullmatch(name) is not None or _PART.fullmatch(name) is not None


def describe(weights: Mapping[str, Tensor]) -> ResNetArchitecture | None:
    """Infer the architecture from weights with plain names.

    Args:
        weights: Tensors by plain name.

    Returns:
        The architecture, or None if the weights are not a ResNet's or too few to tell.

    Raises:
        BackboneMismatchError: If a stage before the last one is missing.

    Example:
        >>> from torchvision.models import resnet18
        >>> print(describe({k: v for k, v in resnet18().state_dict().items() if not k.startswith("fc")}))
        ResNet-18 (7x7 stem, width 64)
    """
    if not all(is_resnet_name(name) for name in weights) or "layer1.0.conv1.weight" not in weights:
        return None
    stem = weights.get("conv1.weight", weights.get("stem.0.conv.weight"))
    if stem is None:
        return None
    blocks = {(int(block[1]), int(block[2])) for block in map(_BLOCK.fullmatch, weights) if block}
    stages = {stage: number + 1 for stage, number in sorted(blocks)}  # numbered from 0; the last block wins
    if list(stages) != list(range(1, len(stages) + 1)):
        raise BackboneMismatchError(f"stages {list(stages)} are there, but others before the last one are missing")
    return ResNetArchitecture(
        block="bottleneck" if "layer1.0.conv3.weight" in weights else "basic",
        blocks=tuple(stages.values()),
        stem=stem.shape[-1] if "conv1.weight" in weights else 0,
        width=weights["layer1.0.conv1.weight"].shape[1],
        pooled_shortcut=any(name.endswith("downsample.2.weight") for name in weights),
        late_time=_sees_time_late(weights),
    )


def require_whole(weights: Mapping[str, Tensor], architecture: ResNetArchitecture, where: str) -> None:
    """Raise BackboneMismatchError if layers of a ResNet are missing or don't fit together.

    Args:
        weights: Tensors by plain name.
        architecture: Their architecture, from :func:`describe`.
        where: Name of the weights in error messages.

    Raises:
        BackboneMismatchError: The message names the first missing tensors, or the first layer that doesn't fit the one
            before it.
    """
    pairs, kinds = _pairs(architecture, weights), _norm_tensors(weights, architecture)
    # The counters num_batches_tracked are not needed, and old files lack them.
    needed = [name for conv, norm in pairs for name in (f"{conv}.weight", *(f"{norm}.{kind}" for kind in kinds))]
    if missing := [name for name in needed if name not in weights]:
        raise BackboneMismatchError(
            f"{where} is not a whole backbone: it looks like a {architecture}, of which {len(missing)} tensors are "
            f"missing: {shorten(missing)}"
        )
    if architecture.depth is None:
        raise BackboneMismatchError(f"{where} holds a {architecture}: no ResNet of a known depth has these blocks")
    if not architecture.late_time and any(tensor.ndim == 5 for tensor in weights.values()):
        raise BackboneMismatchError(
            f"{where} is a video network; only 2-D backbones and DPC's 2D3D-ResNets are converted"
        )
    for conv, norm in pairs:
        channels = len(weights[f"{conv}.weight"])
        if any(len(weights[f"{norm}.{kind}"]) != channels for kind in kinds):
            raise BackboneMismatchError(f"{where} is inconsistent: {conv} gives {channels} channels, {norm} does not")


def _pairs(architecture: ResNetArchitecture, weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """List every convolution with the normalization that follows it."""
    pairs = [("conv1", "bn1")] if architecture.stem else [(f"stem.{i}.conv", f"stem.{i}.bn") for i in range(3)]
    convolutions = 3 if architecture.block == "bottleneck" else 2
    for stage, blocks in enumerate(architecture.blocks, 1):
        shortcut = int(architecture.pooled_shortcut and stage > 1)  # the first stage has nothing to pool
        for block in range(blocks):
            layer = f"layer{stage}.{block}"
            pairs += [(f"{layer}.conv{i}", f"{layer}.bn{i}") for i in range(1, convolutions + 1)]
            # The first block of a stage changes the number of channels, except in the first stage of basic blocks.
            if (block == 0 and (stage > 1 or convolutions == 3)) or f"{layer}.downsample.{shortcut}.weight" in weights:
                pairs.append((f"{layer}.downsample.{shortcut}", f"{layer}.downsample.{shortcut + 1}"))
    return pairs


def _norm_tensors(weights: Mapping[str, Tensor], architecture: ResNetArchitecture) -> tuple[str, ...]:
    """Return the tensors that each normalization must have. Those of DPC may all lack running statistics."""
    keeps = any(name.endswith(_NORM[2:]) for name in weights)
    return _NORM if keeps or not architecture.late_time else _NORM[:2]


def _sees_time_late(weights: Mapping[str, Tensor]) -> bool:
    frames = {  # of the kernels larger than a single point
        (name.split(".")[0], tensor.shape[2])
        for name, tensor in weights.items()
        if tensor.ndim == 5 and tensor[0, 0].numel() > 1
    }
    return frames == {("conv1", 1), ("layer1", 1), ("layer2", 1), ("layer3", 3), ("layer4", 3)}
