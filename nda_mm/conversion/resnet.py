"""ResNets by their weights: what each framework calls a layer, which ResNet it is, whether it is whole.

The plain names, into which everything is translated first, are torchvision's, which mmpretrain's and mmdet's ResNets
share: ``conv1.weight``, ``bn1.bias``, ``layer1.0.downsample.0.weight``. Others differ:

=====================  ==================================  ================================
model                  its name                            the plain name
=====================  ==================================  ================================
mmaction2 ResNet       ``layer1.0.conv2.conv.weight``      ``layer1.0.conv2.weight``
mmaction2 ResNet       ``layer1.0.conv2.bn.weight``        ``layer1.0.bn2.weight``
mmaction2 ResNet       ``layer2.0.downsample.conv.weight`` ``layer2.0.downsample.0.weight``
mmaction2 ResNetTSM    ``layer1.0.conv1.conv.net.weight``  ``layer1.0.conv1.weight``
mmdet, deep stem       ``stem.3.weight``, ``stem.4.bias``  ``stem.1.conv.weight``, ``stem.1.bn.bias``
mmdet ResNetV1d        ``layer1.0.downsample.1.weight``    ``layer1.0.downsample.0.weight``
=====================  ==================================  ================================

The last: where shortcuts pool before they convolve, mmdet puts a pooling layer into the first stage too, of stride 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from nda_mm.utils.messages import shorten

#: What a deep stem of mmdet's has in a row for each of its three layers: convolution, normalization, activation.
_STEM_PARTS = ("conv", "bn", None)
_FIRST_SHORTCUT = "layer1.0.downsample."

_TO_PLAIN: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(^|\.)(?:net|block)\."), r"\1"),  # what mmaction2, and nda_mm.ShiftedBackbone, shift in time
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

#: Blocks of each stage, by kind of block.
_DEPTHS = {
    "basic": {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)},
    "bottleneck": {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)},
}
_NORM = ("weight", "bias", "running_mean", "running_var")
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.(conv[123]|bn[123]|downsample\.\d+)\.\w+")
_PART = re.compile(r"(conv1|bn1|stem\.\d\.(conv|bn))\.\w+")


class BackboneMismatchError(ValueError):
    """Weights that are incomplete, or those of another network than the one that is to load them."""


@dataclass(frozen=True)
class ResNetArchitecture:
    """A ResNet as its weights show it. Strides can't be seen, so ``style='caffe'`` and ``'pytorch'`` look alike.

    Args:
        block: 'basic' or 'bottleneck'.
        blocks: Number of blocks of each stage.
        stem: Side of the first convolution in pixels, or 0 for a deep stem of three 3x3 convolutions.
        width: Channels that the first block receives.
        pooled_shortcut: Whether shortcuts pool before they convolve (ResNet-D).
        late_time: Whether it is a video network as DPC's is: stem and first two stages see frames by themselves, the
            last two see three at a time.
    """

    block: str
    blocks: tuple[int, ...]
    stem: int
    width: int
    pooled_shortcut: bool
    late_time: bool = False

    @property
    def depth(self) -> int | None:
        """18, 34, 50, 101 or 152; None if the blocks fit none of them."""
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
    """Give a backbone's tensor its plain name.

    Args:
        name: As any of the hosts calls it, without a prefix such as ``backbone.``.

    Returns:
        As torchvision calls it; what no ResNet has is left as it is.

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
        names: As one host calls them.

    Returns:
        The plain name of each.

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
        The host's name of each.

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
    """Move a part of the first stage's shortcut by a place."""
    if not name.startswith(_FIRST_SHORTCUT):
        return name
    index, kind = name.removeprefix(_FIRST_SHORTCUT).split(".", 1)
    return f"{_FIRST_SHORTCUT}{int(index) + by}.{kind}"


def _stem_layer(index: int) -> str:
    layer, part = divmod(index, 3)
    return f"stem.{layer}.{_STEM_PARTS[part] or 'activation'}."


def is_resnet_name(name: str) -> bool:
    """Whether a plain name is one of a ResNet's, its classifier's excluded.

    Example:
        >>> is_resnet_name("layer1.0.bn2.weight"), is_resnet_name("fc.weight"), is_resnet_name("blocks.0.norm1.weight")
        (True, False, False)
    """
    return _BLOCK.fullmatch(name) is not None or _PART.fullmatch(name) is not None


def describe(weights: Mapping[str, Tensor]) -> ResNetArchitecture | None:
    """Read the architecture off plain-named weights.

    Args:
        weights: Tensors by plain name.

    Returns:
        The ResNet, or None where the weights are another network's, or too few to tell.

    Raises:
        BackboneMismatchError: If stages are missing between others.

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
    stages = {stage: number + 1 for stage, number in sorted(blocks)}  # the last block of each counts
    if list(stages) != list(range(1, len(stages) + 1)):
        raise BackboneMismatchError(f"stages {list(stages)} are there, and others before the last of them missing")
    return ResNetArchitecture(
        block="bottleneck" if "layer1.0.conv3.weight" in weights else "basic",
        blocks=tuple(stages.values()),
        stem=stem.shape[-1] if "conv1.weight" in weights else 0,
        width=weights["layer1.0.conv1.weight"].shape[1],
        pooled_shortcut=any(name.endswith("downsample.2.weight") for name in weights),
        late_time=_sees_time_late(weights),
    )


def require_whole(weights: Mapping[str, Tensor], architecture: ResNetArchitecture, where: str) -> None:
    """Refuse a ResNet of which layers are missing or don't join.

    Args:
        weights: Tensors by plain name.
        architecture: What :func:`describe` made of them.
        where: What to call them in the message.

    Raises:
        BackboneMismatchError: With the first missing names, or the first layer that doesn't fit the one before.
    """
    pairs, kinds = _pairs(architecture, weights), _norm_tensors(weights, architecture)
    # The counters num_batches_tracked are absent from old files and not needed.
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
            raise BackboneMismatchError(f"{where} does not fit itself: {conv} gives {channels} channels, {norm} others")


def _pairs(architecture: ResNetArchitecture, weights: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Every convolution with the normalization that follows it."""
    pairs = [("conv1", "bn1")] if architecture.stem else [(f"stem.{i}.conv", f"stem.{i}.bn") for i in range(3)]
    convolutions = 3 if architecture.block == "bottleneck" else 2
    for stage, blocks in enumerate(architecture.blocks, 1):
        shortcut = int(architecture.pooled_shortcut and stage > 1)  # the first stage has nothing to pool
        for block in range(blocks):
            layer = f"layer{stage}.{block}"
            pairs += [(f"{layer}.conv{i}", f"{layer}.bn{i}") for i in range(1, convolutions + 1)]
            # The first block of each stage but a basic one's first changes the number of channels.
            if (block == 0 and (stage > 1 or convolutions == 3)) or f"{layer}.downsample.{shortcut}.weight" in weights:
                pairs.append((f"{layer}.downsample.{shortcut}", f"{layer}.downsample.{shortcut + 1}"))
    return pairs


def _norm_tensors(weights: Mapping[str, Tensor], architecture: ResNetArchitecture) -> tuple[str, ...]:
    """What each normalization must have. DPC's may keep no running statistics, and then none of them does."""
    keeps = any(name.endswith(_NORM[2:]) for name in weights)
    return _NORM if keeps or not architecture.late_time else _NORM[:2]


def _sees_time_late(weights: Mapping[str, Tensor]) -> bool:
    frames = {  # of the kernels that are more than a point
        (name.split(".")[0], tensor.shape[2])
        for name, tensor in weights.items()
        if tensor.ndim == 5 and tensor[0, 0].numel() > 1
    }
    return frames == {("conv1", 1), ("layer1", 1), ("layer2", 1), ("layer3", 3), ("layer4", 3)}
