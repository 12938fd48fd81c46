"""The BigGAN of the paper's authors, tensor by tensor, as mmagic's BigGAN names and shapes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nda_mm.utils.messages import shorten

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
#: Options of their code that change the network, by what they leave in a file.
_TRACES = {
    "shared.": "an embedding shared by all layers (--shared_embedding)",
    ".theta.": "attention (--G_attn, --D_attn)",
    ".u1": "several singular values (--num_G_SVs, --num_D_SVs)",
    ".0.bn.": "normalisation across devices (--cross_replica, --mybn)",
}
_SHOWN = 4


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
    """Tell what a state dict of the authors' code is, and make sure that it is that wholly and nothing else.

    Source: the code of Sinha et al., "Negative Data Augmentation", ICLR 2021, which is that of Brock et al., "Large
    Scale GAN Training", https://arxiv.org/abs/1809.11096, for 32x32 images.

    Args:
        weights: Tensors by the names of their code.

    Returns:
        Kind and size of the network.

    Raises:
        OfficialMismatchError: If it is neither a generator nor a discriminator, or tensors are missing, unknown, of
            another shape, not of floating point or not finite; they are named.
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
    unknown = [name for name in weights if name not in set(expected)]
    missing = [name for name in expected if name not in weights]
    if unknown or missing:
        parts = [f"their {kind} for 32x32 images has no {shorten(unknown)}"] if unknown else []
        parts += [f"it lacks {shorten(missing)}"] if missing else []
        traces = [said for trace, said in _TRACES.items() if any(trace in f".{name}" for name in unknown)]
        parts += [f"this looks like {' and '.join(traces)}, which is not served"] if traces else []
        raise OfficialMismatchError("; ".join(parts))

    channels = weights[channels_of].shape[-1]
    noise_size = weights["linear.weight"].shape[-1] if kind == "generator" else None
    num_classes = weights[classes_of].shape[0]
    shapes = _shapes(kind, channels, num_classes, noise_size)
    wrong = [
        f"{name} is of shape {tuple(weights[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if tuple(weights[name].shape) != shape
    ]
    if wrong:
        raise OfficialMismatchError(f"as a {kind} of {channels} channels, {shorten(wrong, separator='; ')}")
    wrong = [f"{name} is {value.dtype}" for name, value in weights.items() if not value.is_floating_point()]
    if wrong:
        raise OfficialMismatchError(f"its weights must be of floating point, but {shorten(wrong)}")
    wrong = [name for name, value in weights.items() if not value.isfinite().all()]
    if wrong:
        raise OfficialMismatchError(f"its weights must be finite, but there is inf or nan in {shorten(wrong)}")
    if channels % 4:
        raise OfficialMismatchError(f"it has {channels} channels, which is not four times a whole width")
    return OfficialNetwork(kind, channels // 4, num_classes, noise_size)


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


def _shapes(kind: str, channels: int, num_classes: int, noise_size: int | None) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a network for 32x32 images."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (_, what) in _LAYERS[kind].items():
        if what == "conditional":
            of_all, by_class = (channels,), (num_classes, channels)
            sizes = {"stored_mean": of_all, "stored_var": of_all, "gain.weight": by_class, "bias.weight": by_class}
        elif what == "normalised":
            sizes = dict.fromkeys(_TENSORS[what], (channels,))
        else:
            weight = _weight_shape(kind, layer, channels, num_classes, noise_size)
            sizes = {"weight": weight, "bias": weight[:1], "u0": (1, weight[0]), "sv0": (1,)}
        shapes |= {f"{layer}.{name}": sizes[name] for name in _TENSORS[what]}
    return shapes


def _weight_shape(kind: str, layer: str, channels: int, num_classes: int, noise_size: int | None) -> tuple[int, ...]:
    if layer == "embed":
        return (num_classes, channels)
    if layer == "linear":
        return (1, channels) if noise_size is None else (channels * 4 * 4, noise_size)  # from 4x4 pixels on
    if layer == "output_layer.2":
        return (3, channels, 3, 3)
    sees_image = kind == "discriminator" and layer in ("blocks.0.0.conv1", "blocks.0.0.conv_sc")
    size = 1 if layer.endswith("conv_sc") else 3
    return (channels, 3 if sees_image else channels, size, size)
