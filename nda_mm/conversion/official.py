"""The BigGAN of the paper's authors and mmagic's: what each calls a tensor, and how the tensors are converted.

Source: the code of Sinha et al., "Negative Data Augmentation", ICLR 2021, which is that of Brock et al., "Large Scale
GAN Training", https://arxiv.org/abs/1809.11096, for 32x32 images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from nda_mm.functional.checks import check_choice
from nda_mm.utils.messages import shorten

__all__ = ["OfficialMismatchError", "OfficialNetwork", "convert_official", "describe_official", "official_names"]

SN_STYLES = ("torch", "ajbrock")
CHANNEL_ORDERS = ("RGB", "BGR")

#: Our layer and its kind, by theirs. The kinds: under spectral norm, an embedding under spectral norm (it has no bias),
#: a conditional batch normalization, a plain one.
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
    "output_layer.0": ("output_layer.bn", "normalized"),
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
        _exchange_red_and_blue(weights, kind)
    converted = {ours: weights[theirs] for theirs, ours in names.items()}
    if sn_style == "torch":
        for layer in [name.removesuffix("_u") for name in converted if name.endswith(".weight_u")]:
            matrix = converted[f"{layer}_orig"].flatten(1).double()
            u0 = converted[f"{layer}_u"]
            v = F.normalize(u0.double() @ matrix, eps=sn_eps)
            u = F.normalize(v @ matrix.t(), eps=sn_eps)
            converted |= {f"{layer}_u": u[0].to(u0.dtype), f"{layer}_v": v[0].to(u0.dtype)}
    return converted


def _exchange_red_and_blue(weights: dict[str, Tensor], kind: str) -> None:
    """Reverse what a generator puts out, or what a discriminator takes in; in place."""
    outputs = {"output_layer.2.weight": 0, "output_layer.2.bias": 0, "output_layer.2.u0": 1}
    inputs = {"blocks.0.0.conv1.weight": 1, "blocks.0.0.conv_sc.weight": 1}
    for name, dim in (outputs if kind == "generator" else inputs).items():
        weights[name] = weights[name].flip(dim)
