"""The BigGAN of the paper's authors and mmagic's: what each calls a tensor, and files of theirs as checkpoints of ours.

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

#: Our layer and its kind, by theirs. The kinds: under spectral norm, an embedding under spectral norm (it has no bias),
#: a conditional batch normalization, a plain one.
_CONVOLUTIONS = {"conv1": ("conv1.conv", "spectral"), "conv2": ("conv2.conv", "spectral")}
_SHORTCUT = {"conv_sc": ("shortcut.conv", "spectral")}
_NORMS = {"bn1": ("bn1", "conditional"), "bn2": ("bn2", "conditional")}


def _blocks(*layers: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """The same for whole blocks, in their order, by the layers of each."""
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
        # The last two blocks keep their input's size.
        **_blocks(*2 * [_CONVOLUTIONS | _SHORTCUT], *2 * [_CONVOLUTIONS]),
        "linear": ("decision", "spectral"),
        "embed": ("proj_y", "embedding"),
    },
}
#: Our tensor by theirs, for each kind of layer, as mmagic's sn_style='ajbrock' has them.
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
#: The same for torch's spectral norm, which keeps no singular value.
_TORCH_TENSORS = {
    **_TENSORS,
    "spectral": {"weight": "weight_orig", "bias": "bias", "u0": "weight_u"},
    "embedding": {"weight": "weight_orig", "u0": "weight_u"},
}
#: What a generator puts out and a discriminator takes in: the dimension of the channels, by their tensor.
_OF_IMAGES = {
    "generator": {"output_layer.2.weight": 0, "output_layer.2.bias": 0, "output_layer.2.u0": 1},
    "discriminator": {"blocks.0.0.conv1.weight": 1, "blocks.0.0.conv_sc.weight": 1},
}
#: The part of the model that each file is for.
_PARTS = {"generator": "generator", "ema": "generator", "discriminator": "discriminator"}
_NETWORKS = {"generator": "BigGANGenerator", "discriminator": "BigGANDiscriminator"}


class OfficialMismatchError(ValueError):
    """A file that is not a BigGAN of the paper's authors for 32x32 images, or not one that fits the model."""


@dataclass(frozen=True)
class OfficialNetwork:
    """What a file of the authors' code holds.

    Args:
        kind: ``'generator'`` or ``'discriminator'``.
        width: Their ``G_ch`` or ``D_ch``, mmagic's ``base_channels``; layers have four times as many channels.
        num_classes: Classes; 1 for an unconditional network.
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
    """Read kind and size of a network off the tensors of the authors' code.

    Args:
        weights: Tensors by the names of their code.

    Returns:
        Kind and size of the network.

    Raises:
        OfficialMismatchError: If it is neither a generator nor a discriminator, or tensors are missing, unknown or not
            finite; they are named.
    """
    kind = "generator" if "output_layer.2.weight" in weights else "discriminator"
    expected = official_names(kind, sn_style="ajbrock")
    unknown = [name for name in weights if name not in expected]  # of options that change the network, such as --G_attn
    missing = [name for name in expected if name not in weights]
    if unknown or missing:
        raise OfficialMismatchError(
            f"its names are not those of their {kind} for 32x32 images; missing: {shorten(missing)}; unknown: "
            f"{shorten(unknown)}"
        )
    wrong = [name for name, value in weights.items() if not value.isfinite().all()]
    if wrong:
        raise OfficialMismatchError(f"its weights must be finite, but {shorten(wrong)} is not")
    # Shapes are compared when the weights fill a model.
    if kind == "generator":
        channels, classes = weights["output_layer.0.gain"].shape[-1], len(weights["blocks.0.0.bn1.gain.weight"])
        return OfficialNetwork(kind, channels // 4, classes, weights["linear.weight"].shape[-1])
    classes, channels = weights["embed.weight"].shape
    return OfficialNetwork(kind, channels // 4, classes)


def official_names(kind: str, *, sn_style: str = "torch") -> dict[str, str]:
    """Map the authors' names of tensors to those of mmagic's BigGAN: weights, statistics and vectors.

    Parameters keep their shapes and meaning, so gradients can be compared by these names too.

    Args:
        kind: ``'generator'`` or ``'discriminator'``.
        sn_style: ``'torch'`` or ``'ajbrock'``, as the model has it. torch's spectral norm has no place for ``sv0``,
            which is left out, and its vector ``weight_u`` stands where their ``u0`` does. Defaults to ``'torch'``.

    Returns:
        Names in ``BigGANGenerator`` or ``BigGANDiscriminator``, by theirs.

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
    r"""Give a network of the authors' code the names, the spectral norm and the channel order of mmagic's.

    Their layers keep one vector :math:`u` and, in ``eval`` mode as in training, iterate once more from it before they
    divide: :math:`v = uW/|uW|`, :math:`u' = vW^T/|vW^T|`, :math:`\sigma = u'Wv`. torch's spectral norm divides in
    ``eval`` mode by :math:`\sigma` of the vectors it has, without iterating. So :math:`u'` and :math:`v` are what
    ``sn_style='torch'`` is given: outputs in ``eval`` mode are the same. In training torch iterates before its first
    pass as they do, and is then one iteration ahead; to repeat a training step of theirs, set ``weight_u`` to their
    ``u0``. The gradient goes through :math:`\sigma`, as theirs does.

    mmagic's ``sn_style='ajbrock'`` takes their vectors as they are and has their outputs in both modes, but its
    gradient leaves :math:`\sigma` out: do not continue their training with it.

    Args:
        weights: Tensors by the names of their code, a generator's or a discriminator's.
        sn_style: ``'torch'`` or ``'ajbrock'``, as the model has it. Defaults to ``'torch'``.
        sn_eps: Smallest length that a vector is divided by, as the model has it. Defaults to 1e-8.
        channel_order: Of the images that the model sees and makes. Theirs are RGB; for ``'BGR'`` the layers that touch
            images are reversed. Defaults to ``'RGB'``.

    Returns:
        Copies in float32, or in float64 where they are that, by the names of :func:`official_names` and with torch's
        ``weight_v``; without batch counters, which their code doesn't have.

    Raises:
        OfficialMismatchError: See :func:`describe_official`.
        ValueError: If a style or an order is unknown.

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
        for layer in [name.removesuffix("_u") for name in converted if name.endswith(".weight_u")]:
            matrix = converted[f"{layer}_orig"].flatten(1).double()
            u0 = converted[f"{layer}_u"]
            v = F.normalize(u0.double() @ matrix, eps=sn_eps)
            u = F.normalize(v @ matrix.t(), eps=sn_eps)
            converted |= {f"{layer}_u": u[0].to(u0.dtype), f"{layer}_v": v[0].to(u0.dtype)}
    return converted


@dataclass(frozen=True)
class ImportReport:
    """What became of the files.

    Args:
        out: The checkpoint written.
        config: The recipe that it is for.
        options: Changes to the recipe that the networks ask for, by dotted key.
        found: What each file holds, by part of the model.
        sources: The files, by part of the model.
        stood_in: Parts without a file, and what they were given instead.
        channel_order: Of the images in the recipe's networks.
        sn_style: Its kind of spectral norm.
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
    """Make one checkpoint of ours of the files that the paper's authors' BigGAN code saves.

    Width, classes and length of the noise are taken from the files; where the recipe has others, the report says what
    to change in it by ``--cfg-options``. Images and logits in ``eval`` mode are those of their code (see
    :func:`convert_official` for spectral norm). Their networks see RGB. A recipe whose ``data_preprocessor`` has
    ``output_channel_order='BGR'`` gets the layers that touch images reversed, so that what it samples has the right
    colors and its own data the right scores.

    A generator without its EMA stands for both, and the other way around. A network for which there is no file has the
    recipe's random weights; the report says so. Their optimizers' state is not taken over: training goes on by
    ``load_from``, not by ``--resume``.

    Args:
        config: Recipe of a 32x32 BigGAN, such as ``nda_biggan_cifar10``.
        out: The checkpoint to write, whole or not at all; none of the files.
        generator: Their ``G*.pth``. Defaults to None.
        ema: Their ``G_ema*.pth``. Defaults to None.
        discriminator: Their ``D*.pth``. Defaults to None.
        options: Changes to the recipe by dotted key, before it is read. Defaults to None.

    Returns:
        The report; ``print`` shows it as a table.

    Raises:
        FileNotFoundError: If a file is not there.
        BrokenCheckpointError: If one is damaged, or could not be loaded without running code.
        OfficialMismatchError: If one holds something else, or they or the recipe's model don't fit together.
        ValueError: If no file is given, or out is one of them.
    """
    given = {"generator": generator, "ema": ema, "discriminator": discriminator}
    sources, out = {part: Path(file) for part, file in given.items() if file is not None}, Path(out)
    if not sources:
        raise ValueError("give at least one file: generator, ema or discriminator")
    if out.exists() and any(file.exists() and out.samefile(file) for file in sources.values()):
        raise ValueError(f"{out} is one of the files to read; write to another")
    # What is in the files?
    read = {part: _read(file, _PARTS[part]) for part, file in sources.items()}
    found = {part: network for part, (_, network) in read.items()}

    # The recipe's model in their sizes.
    cfg = read_config(str(config), options)
    changes = _adapt(cfg, found, str(config))
    state = initial_model(cfg, seed=int(cfg.get("randomness", {}).get("seed") or 0)).state_dict()
    # Fill it. mmagic takes images for BGR where nothing is said.
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
        state["generator_ema.steps"].fill_(1)  # at 0 the first update would overwrite the average

    meta = dict(nda_mm=__version__, sources={part: file.name for part, file in sources.items()}, stood_in=stood_in)
    write_checkpoint(dict(meta=meta, state_dict=state), out)
    style = cfg.model.generator.get("sn_style", "ajbrock")
    return ImportReport(out, str(config), {**(options or {}), **changes}, found, sources, stood_in, order, style)


def _read(file: Path, kind: str) -> tuple[dict[str, Tensor], OfficialNetwork]:
    """The tensors of a file, and what network they are; refused if it is none of the kind."""
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
    """Give the recipe's model the sizes of the files, and return what was changed, by dotted key."""
    for part, name in _NETWORKS.items():
        kind = (cfg.get("model", {}).get(part) or {}).get("type")
        if str(kind).split(".")[-1] != name:
            raise OfficialMismatchError(f"{config} has no {name} as model.{part}, but {kind!r}")
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
    """Which file fills the tensors behind which prefix; and what the parts without a file hold."""
    averaged = any(name.startswith("generator_ema.") for name in state)
    if {"generator", "ema"} <= found.keys() and not averaged:
        raise OfficialMismatchError("the model keeps no EMA of its generator (model.ema_config); give one of the two")
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
            stood_in[part] = f"not given: the {file} stands for it" if file in found else "not given: random weights"
    return targets, stood_in


def _fill(state: dict[str, Tensor], prefix: str, converted: Mapping[str, Tensor], failure: str) -> None:
    """Put a network's tensors into a model's, all of them or none."""
    wanted = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if faults := compare_keys(wanted, converted):
        raise OfficialMismatchError(f"{failure}: {faults}")
    for name, value in converted.items():
        wanted[name].copy_(value)
