"""A GAN's networks in the step: mixing of samples, initial weights, ``torch.compile``, augmentation; and small ones."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor, library, nn
from torch.nn.utils.spectral_norm import SpectralNorm

from nda_mm.functional.checks import check_choice
from nda_mm.functional.differentiable import POLICIES, check_policy, diff_augment
from nda_mm.registry import MODELS, SCOPE

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
    return [
        name
        for name, module in discriminator.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) or "stddev" in type(module).__name__.lower()
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


@MODELS.register_module()
class DiffAugment(nn.Module):
    """Differentiable augmentation, see :func:`nda_mm.functional.diff_augment`.

    Args:
        policy: Which of 'color', 'translation', 'cutout'. Default all.

    Example:
        In a config::

            model = dict(type='nda_mm.NDASNGAN', augment=dict(type='DiffAugment', policy=['color', 'translation']))
    """

    def __init__(self, policy: Sequence[str] = POLICIES) -> None:
        super().__init__()
        self.policy = check_policy(policy)

    def forward(self, x: Tensor) -> Tensor:
        return diff_augment(x, self.policy)

    def extra_repr(self) -> str:
        return f"policy={list(self.policy)}"


def build_augment(augment: dict | nn.Module | None) -> nn.Module | None:
    """Build an augmentation from its config; a module or None is returned as it is."""
    if augment is None or isinstance(augment, nn.Module):
        return augment
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(augment)


def augment_discriminator(discriminator: nn.Module, augment: nn.Module) -> None:
    """Let every image that the discriminator is trained on pass through ``augment`` first.

    Real, generated and negative images alike, in the steps of both networks and in gradient penalties; in evaluation
    nothing is augmented. It is a hook, so checkpoint keys stay as they are.
    """

    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (augment(args[0]), *args[1:]) if module.training else None

    discriminator.register_forward_pre_hook(hook)


def _layers(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers[:-1])


@MODELS.register_module()
class PointGenerator(nn.Module):
    """Generates points in the plane, by fully connected layers.

    Args:
        noise_size: Numbers of noise for a point, at least 1. Default 4.
        width: Units of a hidden layer. Default 64.
        depth: Hidden layers, at least 1. Default 2.

    Shape:
        noise ``(B, noise_size)``, result ``(B, 1, 1, 2)``.

    Example:
        >>> PointGenerator()(torch.zeros(3, 4)).shape
        torch.Size([3, 1, 1, 2])
    """

    def __init__(self, noise_size: int = 4, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.noise_size = noise_size
        self.layers = _layers([noise_size, *[width] * depth, 2])

    def forward(self, noise: Tensor, num_batches: int = 0, return_noise: bool = False) -> Tensor | dict[str, Tensor]:
        """Points; with ``return_noise`` also the noise, as mmagic's generators do. ``num_batches`` is not used."""
        points = self.layers(noise).view(-1, 1, 1, 2)
        return dict(fake_img=points, noise_batch=noise) if return_noise else points


@MODELS.register_module()
class PointDiscriminator(nn.Module):
    """Scores points in the plane, by fully connected layers.

    Args:
        width: Units of a hidden layer. Default 64.
        depth: Hidden layers, at least 1. Default 2.

    Shape:
        points ``(B, 1, 1, 2)``, result ``(B, 1)``.

    Example:
        >>> PointDiscriminator()(torch.zeros(3, 1, 1, 2)).shape
        torch.Size([3, 1])
    """

    def __init__(self, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.layers = _layers([2, *[width] * depth, 1])

    def forward(self, points: Tensor) -> Tensor:
        """Logits of points."""
        return self.layers(torch.flatten(points, 1))
