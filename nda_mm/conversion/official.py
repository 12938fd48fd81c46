"""The BigGAN of the paper's authors as a GAN of ours: names, tensors, and the import of their files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from nda_mm import __version__
from nda_mm.checkpoints import compare_keys, read_checkpoint, write_checkpoint
from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path
from nda_mm.utils.messages import shorten
from nda_mm.utils.random_state import isolated_rng

from .checks import quiet

SN_STYLES = ("torch", "ajbrock")
CHANNEL_ORDERS = ("RGB", "BGR")

#: Their layers by ours, and what each of them is: a layer under spectral norm with or without a bias, a conditional or
#: a plain batch normalisation.
_GENERATOR = {
    "linear": ("noise2feat", "spectral"),
    **{
        f"blocks.{block}.0.{theirs}": (f"conv_blocks.{block}.{ours}", kind)
        for block in range(3)
        for theirs, ours, kind in (
            ("conv1", "conv1.conv", "spectral"),
            ("conv2", "conv2.conv", "spectral"),
            ("conv_sc", "shortcut.conv", "spectral"),
            ("bn1", "bn1", "conditional"),
            ("bn2", "bn2", "conditional"),
        )
    },
    "output_layer.0": ("output_layer.bn", "normalised"),
    "output_layer.2": ("output_layer.conv", "spectral"),
}
_DISCRIMINATOR = {
    **{
        f"blocks.{block}.0.{theirs}": (f"conv_blocks.{block}.{ours}", "spectral")
        for block in range(4)
        for theirs, ours in (("conv1", "conv1.conv"), ("conv2", "conv2.conv"), ("conv_sc", "shortcut.conv"))
        if theirs != "conv_sc" or block < 2  # the last two blocks keep their input's size
    },
    "linear": ("decision", "spectral"),
    "embed": ("proj_y", "embedding"),
}
_LAYERS = {"generator": _GENERATOR, "discriminator": _DISCRIMINATOR}
#: What each kind of layer holds, their words by ours.
_TENSORS = {
    "spectral": {name: name for name in ("weight", "bias", "u0", "sv0")},
    "embedding": {name: name for name in ("weight", "u0", "sv0")},
    "conditional": {
        "stored_mean": "bn.running_mean",
        "stored_var": "bn.running_var",
        "gain.weight": "gain.weight",
        "bias.weight": "bias.weight",
    },
    "normalised": {"stored_mean": "running_mean", "stored_var": "running_var", "gain": "weight", "bias": "bias"},
}
#: What torch's spectral norm calls a layer's tensors; it keeps no singular value.
_TORCH_NAMES = {"weight": "weight_orig", "bias": "bias", "u0": "weight_u"}
#: A part of the model by the file that may be given for it.
PARTS = {"generator": "generator", "ema": "generator", "discriminator": "discriminator"}
_NETWORKS = {"generator": "BigGANGenerator", "discriminator": "BigGANDiscriminator"}


class OfficialMismatchError(ValueError):
    """A file that is no BigGAN of the paper's authors for 32x32 images, or not one that fits the model."""


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
    """Tell what a state dict of the authors' code is.

    Source: the code of Sinha et al., "Negative Data Augmentation", ICLR 2021, which is that of Brock et al., "Large
    Scale GAN Training", https://arxiv.org/abs/1809.11096, for 32x32 images.

    Args:
        weights: Tensors by the names of their code.

    Returns:
        Kind and size of the network.

    Raises:
        OfficialMismatchError: If it is neither a generator nor a discriminator, or tensors are missing, unknown or not
            finite; they are named.
    """
    if "output_layer.2.weight" in weights:
        kind, channels_of, classes_of = "generator", "output_layer.0.gain", "blocks.0.0.bn1.gain.weight"
    elif "embed.weight" in weights:
        kind, channels_of, classes_of = "discriminator", "embed.weight", "embed.weight"
    else:
        raise OfficialMismatchError(
            "neither output_layer.2.weight, which their generator has, nor embed.weight, which their discriminator "
            f"has, is among its names: {shorten(weights)}"
        )
    expected = [f"{layer}.{name}" for layer, (_, what) in _LAYERS[kind].items() for name in _TENSORS[what]]
    unknown = [name for name in weights if name not in expected]  # of options that change the network, such as --G_attn
    missing = [name for name in expected if name not in weights]
    if unknown or missing:
        raise OfficialMismatchError(
            f"its names are not those of their {kind} for 32x32 images; missing: {shorten(missing)}; unknown: "
            f"{shorten(unknown)}"
        )
    wrong = [name for name, value in weights.items() if not value.is_floating_point() or not value.isfinite().all()]
    if wrong:
        raise OfficialMismatchError(f"its weights must be finite and of floating point, but not so is {shorten(wrong)}")
    noise_size = weights["linear.weight"].shape[-1] if kind == "generator" else None
    # Layers have four times as many channels as the width. Shapes are compared when the weights fill a model.
    return OfficialNetwork(kind, weights[channels_of].shape[-1] // 4, weights[classes_of].shape[0], noise_size)


def official_names(kind: str, *, sn_style: str = "torch") -> dict[str, str]:
    """What mmagic's BigGAN calls the tensors of the authors' code: weights, statistics and vectors.

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
    if kind not in _LAYERS:
        raise ValueError(f"kind must be one of {tuple(_LAYERS)}, but got {kind!r}")
    if sn_style not in SN_STYLES:
        raise ValueError(f"sn_style must be one of {SN_STYLES}, but got {sn_style!r}")
    names: dict[str, str] = {}
    for layer, (ours, what) in _LAYERS[kind].items():
        tensors = _TENSORS[what]
        if sn_style == "torch" and what in ("spectral", "embedding"):
            tensors = {name: _TORCH_NAMES[name] for name in tensors if name in _TORCH_NAMES}
        names |= {f"{layer}.{name}": f"{ours}.{renamed}" for name, renamed in tensors.items()}
    return names


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
    gradient leaves :math:`\sigma` out: it is no way to go on training as they do.

    Args:
        weights: Tensors by the names of their code, a generator's or a discriminator's.
        sn_style: ``'torch'`` or ``'ajbrock'``, as the model has it. Defaults to ``'torch'``.
        sn_eps: Smallest length that a vector is divided by, as the model has it. Defaults to 1e-8.
        channel_order: Of the images that the model sees and makes. Theirs are RGB; for ``'BGR'`` the layers that touch
            images are turned round. Defaults to ``'RGB'``.

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
    if channel_order not in CHANNEL_ORDERS:
        raise ValueError(f"channel_order must be one of {CHANNEL_ORDERS}, but got {channel_order!r}")
    kind = describe_official(weights).kind
    names = official_names(kind, sn_style=sn_style)
    weights = {
        name: value.detach().to(torch.promote_types(value.dtype, torch.float32), copy=True)
        for name, value in weights.items()
    }
    if channel_order == "BGR":
        _turn_channels(weights, kind)
    converted = {ours: weights[theirs] for theirs, ours in names.items()}
    if sn_style == "torch":
        for layer in [name.removesuffix("_u") for name in converted if name.endswith(".weight_u")]:
            matrix = converted[f"{layer}_orig"].flatten(1).double()
            u0 = converted[f"{layer}_u"]
            v = F.normalize(u0.double() @ matrix, eps=sn_eps)
            u = F.normalize(v @ matrix.t(), eps=sn_eps)
            converted |= {f"{layer}_u": u[0].to(u0.dtype), f"{layer}_v": v[0].to(u0.dtype)}
    return converted


def _turn_channels(weights: dict[str, Tensor], kind: str) -> None:
    """Exchange red and blue, in place: what a generator puts out, or what a discriminator takes in."""
    if kind == "generator":
        for name in ("weight", "bias"):
            weights[f"output_layer.2.{name}"] = weights[f"output_layer.2.{name}"].flip(0)
        weights["output_layer.2.u0"] = weights["output_layer.2.u0"].flip(1)
    else:
        for layer in ("conv1", "conv_sc"):
            weights[f"blocks.0.0.{layer}.weight"] = weights[f"blocks.0.0.{layer}.weight"].flip(1)


@dataclass(frozen=True)
class ImportReport:
    """What became of the files.

    Args:
        out: The checkpoint written.
        config: The recipe whose model it serves.
        options: Changes to the recipe that the networks ask for, by dotted key.
        found: What each file holds, by part of the model.
        sources: The files, likewise.
        stood_in: Parts without a file of their own, and what they were given instead.
        channel_order: Of the images in the recipe's networks.
        sn_style: Its manner of spectral norm.
    """

    out: Path
    config: str
    options: dict[str, Any]
    found: dict[str, OfficialNetwork]
    sources: dict[str, Path]
    channel_order: str
    sn_style: str
    stood_in: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        words = " ".join(f"{key}={value}" for key, value in self.options.items())
        options = f" --cfg-options {words}" if words else ""
        colours = "as in the files" if self.channel_order == "RGB" else "red and blue exchanged, as the recipe has them"
        rows = [
            *((part, f"{network}, from {self.sources[part]}") for part, network in self.found.items()),
            *((part, what) for part, what in self.stood_in.items()),
            ("channels", f"{self.channel_order}: {colours}"),
            ("norm", f"spectral norm in the manner of sn_style={self.sn_style!r}"),
            ("written", str(self.out)),
            ("sample", f"tools/sample.py {self.config} {self.out}{options}"),
            (
                "train on",
                f"tools/train.py {self.config} --cfg-options load_from={self.out} model.ema_config.start_iter=0"
                f"{' ' + words if words else ''}",
            ),
        ]
        return "\n".join(f"{label:<14} {text}" for label, text in rows)


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
    :func:`~nda_mm.conversion.official.convert_official` for spectral norm). Their networks see RGB. A recipe
    whose ``data_preprocessor`` has ``output_channel_order='BGR'`` gets the layers that touch images turned round, so
    that what it samples has the right colours and its own data the right scores.

    A generator without its moving average stands for both, and the other way around. A network for which there is no
    file has the recipe's random weights; the report says so. Their optimizers' state is not taken over: training goes
    on by ``load_from``, not by ``--resume``.

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
    sources = {part: Path(file) for part, file in given.items() if file is not None}
    out = Path(out)
    if not sources:
        raise ValueError("give at least one file: a generator, its moving average or a discriminator")
    if out.exists() and any(file.exists() and out.samefile(file) for file in sources.values()):
        raise ValueError(f"{out} is one of the files to read; write to another")
    weights = {part: _read(file) for part, file in sources.items()}
    found = {part: _describe(weights[part], sources[part], PARTS[part]) for part in sources}
    _require_one_model(found, sources)

    apply_patches()
    cfg = Config.fromfile(recipe_path(str(config)))
    cfg.merge_from_dict(dict(options or {}))
    changes = _adapt(cfg, found, str(config))
    model = _build(cfg)
    style, order = cfg.model.generator.get("sn_style", "ajbrock"), _channel_order(cfg)
    state = model.state_dict()
    targets, stood_in = _targets(found, state, str(config))
    for target, part in targets.items():
        settings = cfg.model[PARTS[part]]
        converted = convert_official(
            weights[part],
            sn_style=settings.get("sn_style", "ajbrock"),
            sn_eps=settings.get("sn_eps", 1e-6),
            channel_order=order,
        )
        _fill(state, target, converted, f"{sources[part]} does not fit the {PARTS[part]} of {config}")
    if "generator_ema.steps" in state and "generator_ema." in targets:
        state["generator_ema.steps"].fill_(1)  # at 0 the first update would overwrite the average
    meta = dict(nda_mm=__version__, sources={part: file.name for part, file in sources.items()}, stood_in=stood_in)
    write_checkpoint(dict(meta=meta, state_dict=state), out)
    return ImportReport(out, str(config), {**(options or {}), **changes}, found, sources, order, style, stood_in)


def _read(file: Path) -> dict[str, Tensor]:
    weights = read_checkpoint(file, needed=())
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(v, Tensor) for v in weights.values()):
        raise OfficialMismatchError(
            f"{file} is no file of the authors' code, which saves the tensors of one network by name. A checkpoint of "
            "an OpenMMLab model needs no import."
        )
    prefix = "module."  # from a network saved under DataParallel
    wrapped = all(name.startswith(prefix) for name in weights)
    return {name.removeprefix(prefix) if wrapped else name: value for name, value in weights.items()}


def _describe(weights: Mapping[str, Tensor], file: Path, kind: str) -> OfficialNetwork:
    try:
        network = describe_official(weights)
    except OfficialMismatchError as error:
        raise OfficialMismatchError(f"{file} is no BigGAN of the authors for 32x32 images: {error}.") from error
    if network.kind != kind:
        raise OfficialMismatchError(f"{file} holds a {network.kind}, but was given as a {kind}.")
    return network


def _require_one_model(found: Mapping[str, OfficialNetwork], sources: Mapping[str, Path]) -> None:
    if {"generator", "ema"} <= found.keys() and found["generator"] != found["ema"]:
        raise OfficialMismatchError(
            f"{sources['ema']} is no moving average of {sources['generator']}: the first is a {found['ema']}, the "
            f"second a {found['generator']}."
        )
    if len({network.num_classes for network in found.values()}) > 1:
        said = ", ".join(f"{sources[part]} is a {network}" for part, network in found.items())
        raise OfficialMismatchError(f"The files don't belong together, their numbers of classes differ: {said}.")


def _adapt(cfg: Config, found: Mapping[str, OfficialNetwork], config: str) -> dict[str, Any]:
    """Give the recipe's model the sizes of the files, and say what was changed, by dotted key."""
    for part, name in _NETWORKS.items():
        settings = cfg.get("model", {}).get(part) or {}
        if str(settings.get("type", "")).split(".")[-1] != name:
            raise OfficialMismatchError(
                f"{config} has no {name} as model.{part}, but {settings.get('type')!r}; take a recipe of a 32x32 "
                "BigGAN such as nda_biggan_cifar10."
            )
    network = next(iter(found.values()))
    wanted: dict[str, Any] = {
        f"model.{place}num_classes": network.num_classes for place in ("", "generator.", "discriminator.")
    }
    for part, other in found.items():
        wanted[f"model.{PARTS[part]}.base_channels"] = other.width
        if other.noise_size is not None:
            wanted["model.generator.noise_size"] = other.noise_size
    changes = {
        key: value
        for key, value in wanted.items()
        if reduce(lambda part, word: part.get(word), key.split("."), cfg) != value
    }
    cfg.merge_from_dict(changes)
    return changes


def _setting(cfg: Config, key: str) -> Any:
    return reduce(lambda part, word: part.get(word), key.split("."), cfg)


def _build(cfg: Config) -> nn.Module:
    """The recipe's model with its own random weights; the caller's random numbers go on as if none had been drawn."""
    seed = int(cfg.get("randomness", {}).get("seed") or 0)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmagic")), quiet(), isolated_rng(seed):
        model = MODELS.build(cfg.model)
        model.init_weights()
    return model


def _channel_order(cfg: Config) -> str:
    # mmagic takes images for BGR where nothing is said, and so does nda_mm.models.gans.sampling.as_rgb
    order = (cfg.model.get("data_preprocessor") or {}).get("output_channel_order")
    return "RGB" if order == "RGB" else "BGR"


def _targets(
    found: Mapping[str, OfficialNetwork], state: Mapping[str, Tensor], config: str
) -> tuple[dict[str, str], dict[str, str]]:
    """Which file goes where in the model, by prefix; and, by part, what stands in for files that were not given."""
    averaged = any(name.startswith("generator_ema.") for name in state)
    if "generator" in found and "ema" in found and not averaged:
        raise OfficialMismatchError(
            f"The model of {config} keeps no moving average of its generator (model.ema_config); give one of the two."
        )
    targets, stood_in = {}, {}
    source = "generator" if "generator" in found else "ema"
    if source in found:
        targets["generator."] = source
        if source == "ema":
            stood_in["generator"] = "its moving average stands for it"
        if averaged:
            targets["generator_ema."] = "ema" if "ema" in found else "generator"
            if "ema" not in found:
                stood_in["ema"] = "the generator stands for its moving average"
    else:
        stood_in["generator"] = "not given: random weights, nothing to sample"
    if "discriminator" in found:
        targets["discriminator."] = "discriminator"
    else:
        stood_in["discriminator"] = "not given: random weights, its scores mean nothing"
    return targets, stood_in


def _fill(state: dict[str, Tensor], prefix: str, converted: Mapping[str, Tensor], failure: str) -> None:
    """Put a network's tensors into a model's, all of them or none."""
    inner = prefix + ("module." if prefix == "generator_ema." else "")
    wanted = {name.removeprefix(inner): value for name, value in state.items() if name.startswith(inner)}
    if faults := compare_keys(wanted, converted):
        raise OfficialMismatchError(f"{failure}: {faults}.")
    for name, value in converted.items():
        state[inner + name].copy_(value)
