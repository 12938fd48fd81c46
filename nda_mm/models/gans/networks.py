"""What the step needs of a GAN's networks: initial weights, whether samples are mixed, and ``torch.compile``."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, library, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from nda_mm.functional.checks import check_choice

FORWARD_MODES = ("auto", "joint", "separate")


def choose_forward(mode: str, discriminator: nn.Module | None) -> str:
    """Resolve ``'auto'``: joint, and separate where the discriminator mixes samples.

    Args:
        mode: ``'auto'``, ``'joint'`` or ``'separate'``.
        discriminator: None in a model that only generates.

    Raises:
        ValueError: If the mode is unknown, or ``'joint'`` is asked of a discriminator that mixes samples.
    """
    check_choice(mode, "discriminator_forward", FORWARD_MODES)
    mixing = [] if discriminator is None else mixes_samples(discriminator)
    if mode == "joint" and mixing:
        raise ValueError(
            "discriminator_forward='joint' would let negatives change the scores of real images, because the "
            f"discriminator mixes the samples of a batch in {mixing[:3]}. Use 'separate' or 'auto'."
        )
    if mode == "auto":
        return "separate" if mixing else "joint"
    return mode


def mixes_samples(discriminator: nn.Module) -> list[str]:
    """Names of the layers through which one sample of a batch changes the score of another.

    Batch normalization and the minibatch standard deviation of progressive GANs do; a discriminator that has them must
    see real, generated and negative images apart, or the score of a real image would depend on the negatives.
    """
    batch_norm = (nn.modules.batchnorm._BatchNorm, nn.SyncBatchNorm)
    return [
        name
        for name, module in discriminator.named_modules()
        if isinstance(module, batch_norm) or "stddev" in type(module).__name__.lower()
    ]


def share_normalized_weights(module: nn.Module) -> None:
    """Let what is written to ``weight`` of a spectrally normalized layer reach its parameter, ``weight_orig``.

    :func:`torch.nn.utils.spectral_norm` leaves ``weight`` as a plain tensor that shares the parameter's memory, until
    the module is moved: then it stays behind. mmengine moves a model to its device before it draws the weights, so on a
    GPU the recipe's initialization is lost, and mmagic's spectrally normalized networks start from PyTorch's default.
    """
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                setattr(layer, hook.name, getattr(layer, f"{hook.name}_orig").data)


def draw_uniform_biases(module: nn.Module) -> None:
    """Draw the biases of convolutions and linear layers as PyTorch does: U(-b, b) with b = 1 / sqrt(fan-in).

    A network that loads its weights (``init_cfg=dict(type='Pretrained', ...)``) is left alone.
    """
    if "Pretrained" in str(getattr(module, "init_cfg", None)):
        return
    for layer in module.modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)) and layer.bias is not None:
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.bias, -bound, bound)


def warn_of_sigma_without_gradient(network: nn.Module) -> None:
    """Warn once if a network has mmagic's default spectral normalization, which has no gradient through sigma."""
    if any(hasattr(layer, "sn_weight") for layer in network.modules()):
        _warn_once()


@cache
def _warn_once() -> None:
    print_log(
        "sn_style='ajbrock', mmagic's default, gives no gradient through sigma, unlike BigGAN's own code; set "
        "sn_style='torch' in generator and discriminator.",
        "current",
        logging.WARNING,
    )


@library.custom_op("nda_mm::power_iteration", mutates_args=())
def _iterate(matrix: Tensor, u: Tensor, v: Tensor, iterations: int, eps: float) -> tuple[Tensor, Tensor]:
    """Power iterations, as one operation that a compiler does not look into."""
    with torch.autocast(matrix.device.type, enabled=False):
        for _ in range(iterations):
            v = F.normalize(torch.mv(matrix.t(), u), dim=0, eps=eps)
            u = F.normalize(torch.mv(matrix, v), dim=0, eps=eps)
    return u, v


@_iterate.register_fake
def _iterate_shapes(matrix: Tensor, u: Tensor, v: Tensor, iterations: int, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(v)


class SavedSpectralNorm(SpectralNorm):
    """PyTorch's spectral normalization, with the right gradients in a compiled network.

    PyTorch iterates ``u`` and ``v`` in place. Compiled (seen with 2.11), the backward pass repeats that iteration
    instead of keeping its result, but begins from the ``u`` that the forward pass has changed already: output and loss
    are right, and the weight's gradient is off by a third at the start of training. Here the iteration is one opaque
    operation, which is not repeated. Names, values and memory of the vectors stay.
    """

    def compute_weight(self, module: nn.Module, do_power_iteration: bool) -> Tensor:
        """The weight divided by the estimate of its largest singular value."""
        weight, u, v = (getattr(module, f"{self.name}_{end}") for end in ("orig", "u", "v"))
        matrix = self.reshape_weight_to_matrix(weight)
        if do_power_iteration:
            with torch.no_grad():
                nearer_u, nearer_v = _iterate(matrix, u, v, self.n_power_iterations, self.eps)
                u.copy_(nearer_u)
                v.copy_(nearer_v)
            u, v = nearer_u, nearer_v
        return weight / torch.dot(u, torch.mv(matrix, v))


def compile_network(network: nn.Module, **options: Any) -> None:
    """Let a network run through ``torch.compile``, in place, so that its weights keep their names.

    Args:
        network: Its spectral normalization, if it has any, is PyTorch's of ``torch.nn.utils.spectral_norm``.
        options: As ``torch.compile`` takes them.

    Raises:
        ValueError: If it has the spectral normalization of mmagic's own, which changes its vectors in place.

    Example:
        >>> network = nn.Sequential(nn.utils.spectral_norm(nn.Linear(3, 2)))
        >>> compile_network(network, backend="eager")
        >>> network(torch.ones(1, 3)).shape
        torch.Size([1, 2])
    """
    for name, module in network.named_modules():
        if hasattr(module, "sn_weight"):
            raise ValueError(
                f"compile_networks: {name} of {type(network).__name__} has sn_style='ajbrock', whose gradients are "
                "wrong when compiled; set sn_style='torch'."
            )
        for key, hook in module._forward_pre_hooks.items():
            if type(hook) is SpectralNorm:
                changed = SavedSpectralNorm(hook.name, hook.n_power_iterations, hook.dim, hook.eps)
                module._forward_pre_hooks[key] = changed
    network.compile(**options)
