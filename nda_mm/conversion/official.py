"""Convert BigGANs of the paper's authors to mmagic's BigGAN: tensor names, spectral norm and checkpoints.

Source: the code of Sinha et al., "Negative Data Augmentation", ICLR 2021, which is that of Brock et al., "Large Scale
GAN Training", https://arxiv.org/abs/1809.11096, for 32x32 images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor

from nda_mm import __version__
from nda_mm.checkpoints import compare_keys, read_checkpoint, write_checkpoint
from nda_mm.command_line import read_config
from nda_mm.functional.checks import check_choice
from nda_mm.utils.messages import shorten

from .checks import initial_model
from .formats import weights_of

__all__ = [
    "ImportReport",
    "OfficialMismatchError",
    "OfficialNetwork",
    "convert_official",
    "describe_official",
    "import_official",
    "official_names",
]

SN_STYLES = ("torch", "ajbrock")
CHANNEL_ORDERS = ("RGB", "BGR")

#: Our layer and its kind, by their layer. Kinds: a layer with spectral norm, an embedding with spectral norm (which has
#: no bias), a conditional batch normalization, and a plain one.
_CONVOLUTIONS = {"conv1": ("conv1.conv", "spectral"), "conv2": ("conv2.conv", "spectral")}
_SHORTCUT = {"conv_sc": ("shortcut.conv", "spectral")}
_NORMS = {"bn1": ("bn1", "conditional"), "bn2": ("bn2", "conditional")}


def _blocks(*layers: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Build the same mapping for a sequence of blocks from the layers of each block."""
    return {
        f"blocks.{number}.0.{theirs}": (f"conv_blocks.{number}.{ours}", kind)
        for number, block in enumerate(layers)
        for theirs, (ours, kind) in block.items()
    }


_LAYERS = {
    "generator": {
        "linear": ("noise2feat", "spectral"),
        **_blocks(*3 * [_CONVOLUTIONS | _SHORTCUT | _NORMS]),
        "output_layer.0": ("output_layer.bn", "normalized"),
        "output_layer.2": ("output_layer.conv", "spectral"),
    },
    "discriminator": {
        # The last two blocks keep the size of their input.
        **_blocks(*2 * [_CONVOLUTIONS | _SHORTCUT], *2 * [_CONVOLUTIONS]),
        "linear": ("decision", "spectral"),
        "embed": ("proj_y", "embedding"),
    },
}
#: Our tensor by their tensor, for each kind of layer with mmagic's sn_style='ajbrock'.
_TENSORS = {
    "spectral": {name: name for name in ("weight", "bias", "u0", "sv0")},
    "embedding": {name: name for name in ("weight", "u0", "sv0")},
    "conditional": {
        "stored_mean": "bn.running_mean",
        "stored_var": "bn.running_var",
        "gain.weight": "gain.weight",
        "bias.weight": "bias.weight",
    },
    "normalized": {"stored_mean": "running_mean", "stored_var": "running_var", "gain": "weight", "bias": "bias"},
}
#: The same for torch's spectral norm, which stores no singular value.
_TORCH_TENSORS = {
    **_TENSORS,
    "spectral": {"weight": "weight_orig", "bias": "bias", "u0": "weight_u"},
    "embedding": {"weight": "weight_orig", "u0": "weight_u"},
}
#: Dimension of the image channels in the layers that output or receive images, by their tensor.
_OF_IMAGES = {
    "generator": {"output_layer.2.weight": 0, "output_layer.2.bias": 0, "output_layer.2.u0": 1},
    "discriminator": {"blocks.0.0.conv1.weight": 1, "blocks.0.0.conv_sc.weight": 1},
}
#: The part of the model that each file is for.
_PARTS = {"generator": "generator", "ema": "generator", "discriminator": "discriminator"}
_NETWORKS = {"generator": "BigGANGenerator", "discriminator": "BigGANDiscriminator"}


class OfficialMismatchError(ValueError):
    """Raised if a file is not a BigGAN of the paper's authors for 32x32 images, or does not fit the model."""


@dataclass(frozen=True)
class OfficialNetwork:
    """Kind and size of the network in a file of the authors' code.

    Args:
        kind: ``'generator'`` or ``'discriminator'``.
        width: Their ``G_ch`` or ``D_ch``, mmagic's ``base_channels``; layers have four times as many channels.
        num_classes: Number of classes; 1 for an unconditional network.
        noise_size: Length of the generator's input; None for a discriminator.

    Example:
        >>> print(OfficialNetwork("generator", width=64, num_classes=10, noise_size=128))
        generator of width 64, 10 classes, noise of 128
    """

    kind: str
    width: int
    num_classes: int
    noise_size: int | None = None

    def __str__(self) -> str:
        noise = f", noise of {self.noise_size}" if self.noise_size else ""
        classes = "1 class" if self.num_classes == 1 else f"{self.num_classes} classes"
        return f"{self.kind} of width {self.width}, {classes}{noise}"


def describe_official(weights: Mapping[str, Tensor]) -> OfficialNetwork:
    """Infer kind and size of a network from the tensors of the authors' code.

    Args:
        weights: Tensors by their names in the authors' code.

    Returns:
        Kind and size of the network.

    Raises:
        OfficialMismatchError: If it is neither a generator nor a discriminator, or tensors are missing, unknown or not
            finite. The message names them.
    """
    kind = "generator" if "output_layer.2.weight" in weights else "discriminator"
    expected = official_names(kind, sn_style="ajbrock")
    unknown = [name for name in weights if name not in expected]  # from options that change the network: --G_attn
    missing = [name for name in expected if name not in weights]
    if unknown or missing:
        raise OfficialMismatchError(
            f"its names are not those of the authors' {kind} for 32x32 images; missing: {shorten(missing)}; unknown: "
            f"{shorten(unknown)}"
        )
    wrong = [name for name, value in weights.items() if not value.isfinite().all()]
    if wrong:
        raise OfficialMismatchError(f"its weights must be finite, but got NaN or infinity in {shorten(wrong)}")
    # Shapes are compared when the weights fill a model.
    if kind == "generator":
        channels, classes = weights["output_layer.0.gain"].shape[-1], len(weights["blocks.0.0.bn1.gain.weight"])
        return OfficialNetwork(kind, channels // 4, classes, weights["linear.weight"].shape[-1])
    classes, channels = weights["embed.weight"].shape
    return OfficialNetwork(kind, channels // 4, classes)


def official_names(kind: str, *, sn_style: str = "torch") -> dict[str, str]:
    """Map the authors' tensor names to those of mmagic's BigGAN: weights, statistics and vectors of spectral norm.

    Parameters keep their shapes and meaning, so gradients can be compared by these names too.

    Args:
        kind: ``'generator'`` or ``'discriminator'``.
        sn_style: ``sn_style`` of the model, ``'torch'`` or ``'ajbrock'``. torch's spectral norm has no equivalent of
            ``sv0``, which is left out. Its vector ``weight_u`` corresponds to their ``u0``. Defaults to ``'torch'``.

    Returns:
        Names in ``BigGANGenerator`` or ``BigGANDiscriminator``, keyed by the authors' names.

    Raises:
        ValueError: If kind or sn_style is unknown.

    Example:
        >>> official_names("discriminator")["embed.weight"]
        'proj_y.weight_orig'
    """
    check_choice(kind, "kind", tuple(_LAYERS))
    check_choice(sn_style, "sn_style", SN_STYLES)
    tensors = _TORCH_TENSORS if sn_style == "torch" else _TENSORS
    return {
        f"{layer}.{theirs}": f"{our_layer}.{ours}"
        for layer, (our_layer, layer_kind) in _LAYERS[kind].items()
        for theirs, ours in tensors[layer_kind].items()
    }


def convert_official(
    weights: Mapping[str, Tensor], *, sn_style: str = "torch", sn_eps: float = 1e-8, channel_order: str = "RGB"
) -> dict[str, Tensor]:
    r"""Convert a network of the authors' code to the names, spectral norm and channel order of mmagic's.

    Their layers store one vector :math:`u`. In ``eval`` mode as in training, they run one more power iteration from it
    before they divide: :math:`v = uW/|uW|`, :math:`u' = vW^T/|vW^T|`, :math:`\sigma = u'Wv`. In ``eval`` mode, torch's
    spectral norm divides by the :math:`\sigma` of its stored vectors, without iterating. For ``sn_style='torch'`` the
    vectors are therefore :math:`u'` and :math:`v`, which gives the same outputs in ``eval`` mode. In training, torch
    iterates before its first pass as they do, and is then one iteration ahead. To reproduce one of their training
    steps, set ``weight_u`` to their ``u0``. The gradient passes through :math:`\sigma`, as in their code.

    mmagic's ``sn_style='ajbrock'`` takes their vectors unchanged and gives their outputs in both modes, but its
    gradient ignores :math:`\sigma`. Do not continue their training with it.

    Args:
        weights: Tensors of a generator or a discriminator by their names in the authors' code.
        sn_style: ``sn_style`` of the model, ``'torch'`` or ``'ajbrock'``. Defaults to ``'torch'``.
        sn_eps: Smallest length that a vector is divided by; ``sn_eps`` of the model. Defaults to 1e-8.
        channel_order: Channel order of the images that the model receives and outputs. Theirs are RGB; for ``'BGR'``
            the channels of the layers that touch images are reversed. Defaults to ``'RGB'``.

    Returns:
        Copies of the tensors in float32 (float64 stays float64) by the names of :func:`official_names`, with torch's
        ``weight_v`` and without batch counters, which their code doesn't have.

    Raises:
        OfficialMismatchError: See :func:`describe_official`.
        ValueError: If sn_style or channel_order is unknown.

    Example:
        The generator of a model with ``sn_style='torch'`` that sees BGR::

            weights = torch.load('G_ema.pth', weights_only=True)
            model.generator.load_state_dict(convert_official(weights, channel_order='BGR'), strict=False)
    """
    check_choice(channel_order, "channel_order", CHANNEL_ORDERS)
    kind = describe_official(weights).kind
    names = official_names(kind, sn_style=sn_style)
    weights = {
        name: value.detach().to(torch.promote_types(value.dtype, torch.float32), copy=True)
        for name, value in weights.items()
    }
    if channel_order == "BGR":
        for name, dim in _OF_IMAGES[kind].items():
            weights[name] = weights[name].flip(dim)
    converted = {ours: weights[theirs] for theirs, ours in names.items()}
    if sn_style == "torch":
        # Run the extra iteration here, because torch does not iterate in eval mode.
        for layer in [name.removesuffix("_u") for name in converted if name.endswith(".weight_u")]:
            matrix = converted[f"{layer}_orig"].flatten(1).double()
            u0 = converted[f"{layer}_u"]
            v = F.normalize(u0.double() @ matrix, eps=sn_eps)
            u = F.normalize(v @ matrix.t(), eps=sn_eps)
            converted |= {f"{layer}_u": u[0].to(u0.dtype), f"{layer}_v": v[0].to(u0.dtype)}
    return converted


@dataclass(frozen=True)
class ImportReport:
    """Summary of an import, which ``print`` shows as a table.

    Args:
        out: The checkpoint that was written.
        config: The recipe that it is for.
        options: Changes to the recipe that the networks need, by dotted key.
        found: The network in each file, by part of the model.
        sources: The files, by part of the model.
        stood_in: What the parts without a file hold instead.
        channel_order: Channel order of the images in the recipe's networks.
        sn_style: Kind of spectral norm in the recipe's networks.
    """

    out: Path
    config: str
    options: dict[str, Any]
    found: dict[str, OfficialNetwork]
    sources: dict[str, Path]
    stood_in: dict[str, str]
    channel_order: str
    sn_style: str

    def __str__(self) -> str:
        words = "".join(f" {key}={value}" for key, value in self.options.items())
        options = f" --cfg-options{words}" if words else ""
        rows = {
            **{part: f"{network}, from {self.sources[part]}" for part, network in self.found.items()},
            **self.stood_in,
            "channels": f"{self.channel_order} in the model, RGB in the files",
            "norm": f"spectral norm with sn_style={self.sn_style!r}",
            "written": str(self.out),
            "sample": f"tools/sample.py {self.config} {self.out}{options}",
            "train on": f"tools/train.py {self.config} --cfg-options load_from={self.out} "
            f"model.ema_config.start_iter=0{words}",
        }
        return "\n".join(f"{label:<14} {text}" for label, text in rows.items())


def import_official(
    config: str | Path,
    out: str | Path,
    *,
    generator: str | Path | None = None,
    ema: str | Path | None = None,
    discriminator: str | Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> ImportReport:
    """Combine files saved by the BigGAN code of the paper's authors into one checkpoint of ours.

    Width, number of classes and length of the noise are taken from the files. If the recipe has different values, the
    report lists the ``--cfg-options`` that change them. Images and logits in ``eval`` mode are those of their code (see
    :func:`convert_official` for spectral norm). Their networks use RGB. If the recipe's ``data_preprocessor`` has
    ``output_channel_order='BGR'``, the channels of the layers that touch images are reversed, so that samples have the
    right colors and the recipe's own data gets the right scores.

    If only one of generator and EMA is given, it is used for both. A network without a file gets the recipe's random
    weights, and the report says so. The state of their optimizers is not imported, so continue the training with
    ``load_from``, not with ``--resume``.

    Args:
        config: Recipe of a 32x32 BigGAN, such as ``nda_biggan_cifar10``.
        out: The checkpoint to write; must not be one of the files. It is written completely or not at all.
        generator: The authors' ``G*.pth``. Defaults to None.
        ema: The authors' ``G_ema*.pth``. Defaults to None.
        discriminator: The authors' ``D*.pth``. Defaults to None.
        options: Changes to the recipe by dotted key, applied before it is read. Defaults to None.

    Returns:
        The report; ``print`` shows it as a table.

    Raises:
        FileNotFoundError: If a file does not exist.
        BrokenCheckpointError: If a file is damaged, or can't be loaded without running code.
        OfficialMismatchError: If a file holds something else, or the files and the recipe's model don't fit together.
        ValueError: If no file is given, or out is one of them.
    """
    given = {"generator": generator, "ema": ema, "discriminator": discriminator}
    sources, out = {part: Path(file) for part, file in given.items() if file is not None}, Path(out)
    if not sources:
        raise ValueError("give at least one file: generator, ema or discriminator")
    if out.exists() and any(file.exists() and out.samefile(file) for file in sources.values()):
        raise ValueError(f"{out} is one of the files to read; write to a different file")
    # Read the files.
    read = {part: _read(file, _PARTS[part]) for part, file in sources.items()}
    found = {part: network for part, (_, network) in read.items()}

    # Build the recipe's model with their sizes.
    cfg = read_config(str(config), options)
    changes = _adapt(cfg, found, str(config))
    state = initial_model(cfg, seed=int(cfg.get("randomness", {}).get("seed") or 0)).state_dict()
    # Fill it. mmagic's default channel order is BGR.
    order = (cfg.model.get("data_preprocessor") or {}).get("output_channel_order") or "BGR"
    targets, stood_in = _targets(found, state)
    for prefix, part in targets.items():
        settings = cfg.model[_PARTS[part]]
        converted = convert_official(
            read[part][0],
            sn_style=settings.get("sn_style", "ajbrock"),
            sn_eps=settings.get("sn_eps", 1e-6),
            channel_order=order,
        )
        _fill(state, prefix, converted, f"{sources[part]} does not fit the {_PARTS[part]} of {config}")
    if "generator_ema.module." in targets:
        state["generator_ema.steps"].fill_(1)  # at 0 the first update would overwrite the EMA

    # Write the checkpoint.
    meta = dict(nda_mm=__version__, sources={part: file.name for part, file in sources.items()}, stood_in=stood_in)
    write_checkpoint(dict(meta=meta, state_dict=state), out)
    style = cfg.model.generator.get("sn_style", "ajbrock")
    return ImportReport(out, str(config), {**(options or {}), **changes}, found, sources, stood_in, order, style)


def _read(file: Path, kind: str) -> tuple[dict[str, Tensor], OfficialNetwork]:
    """Read the tensors of a file and describe their network, which must be of the given kind."""
    checkpoint = read_checkpoint(file, needed=())
    try:
        weights = weights_of(checkpoint, "the file")
        network = describe_official(weights)
    except ValueError as error:
        raise OfficialMismatchError(f"{file} is not a BigGAN of the authors for 32x32 images: {error}") from error
    if network.kind != kind:
        raise OfficialMismatchError(f"{file} holds a {network.kind}, but was given as a {kind}")
    return weights, network


def _adapt(cfg: Config, found: Mapping[str, OfficialNetwork], config: str) -> dict[str, Any]:
    """Set the recipe's model to the sizes of the files, and return the changes by dotted key."""
    for part, name in _NETWORKS.items():
        kind = (cfg.get("model", {}).get(part) or {}).get("type")
        if str(kind).split(".")[-1] != name:
            raise OfficialMismatchError(f"{config} has no {name}: model.{part} must be one, but got {kind!r}")
    changes: dict[str, Any] = {}
    for network in found.values():
        sizes = {(network.kind, "base_channels"): network.width, ("generator", "noise_size"): network.noise_size}
        sizes |= {(part, "num_classes"): network.num_classes for part in ("", *_NETWORKS)}
        for (part, name), size in sizes.items():
            settings = cfg.model[part] if part else cfg.model
            if size is not None and settings.get(name) != size:
                changes[f"model.{part}.{name}" if part else f"model.{name}"] = size
    cfg.merge_from_dict(changes)
    return changes


def _targets(
    found: Mapping[str, OfficialNetwork], state: Mapping[str, Tensor]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the file for each prefix of the model's tensors, and what the parts without a file hold."""
    averaged = any(name.startswith("generator_ema.") for name in state)
    if {"generator", "ema"} <= found.keys() and not averaged:
        raise OfficialMismatchError("the model keeps no EMA of its generator (model.ema_config); give generator or ema")
    prefixes = {"generator": "generator.", "discriminator": "discriminator."}
    if averaged:
        prefixes["ema"] = "generator_ema.module."
    other = {"generator": "ema", "ema": "generator"}
    targets, stood_in = {}, {}
    for part, prefix in prefixes.items():
        file = part if part in found else other.get(part, part)
        if file in found:
            targets[prefix] = file
        if part not in found:
            stood_in[part] = f"not given: filled from the {file}" if file in found else "not given: random weights"
    return targets, stood_in


def _fill(state: dict[str, Tensor], prefix: str, converted: Mapping[str, Tensor], failure: str) -> None:
    """Copy a network's tensors into a model's state, all of them or none."""
    wanted = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if faults := compare_keys(wanted, converted):
        raise OfficialMismatchError(f"{failure}: {faults}")
    for name, value in converted.items():
        wanted[name].copy_(value)
