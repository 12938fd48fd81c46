"""Helpers for a GAN's networks (forward mode, initialization, ``torch.compile``, augmentation), and toy networks."""

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
    """Resolve ``'auto'``: ``'separate'`` if the discriminator mixes samples, else ``'joint'``.

    Args:
        mode: ``'auto'``, ``'joint'`` or ``'separate'``.
        discriminator: Discriminator, or None in a model that only generates.

    Raises:
        ValueError: If the mode is unknown, or ``'joint'`` is requested for a discriminator that mixes samples.
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
    """Return the names of the layers through which one sample of a batch changes the score of another.

    These are batch normalization and the minibatch standard deviation of progressive GANs. A discriminator with such
    layers must see real, generated and negative images separately. Otherwise the score of a real image would depend on
    the negatives.
    """
    return [
        name
        for name, module in discriminator.named_modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) or "stddev" in type(module).__name__.lower()
    ]


def share_normalized_weights(module: nn.Module) -> None:
    """Make ``weight`` of every spectrally normalized layer share memory with its parameter ``weight_orig``.

    :func:`torch.nn.utils.spectral_norm` leaves ``weight`` as a plain tensor that shares the parameter's memory, but
    only until the module is moved. mmengine moves a model to its device before it initializes the weights. On a GPU,
    the recipe's initialization is therefore lost, and mmagic's spectrally normalized networks start from PyTorch's
    default.
    """
    for layer in module.modules():
        for hook in layer._forward_pre_hooks.values():
            if isinstance(hook, SpectralNorm):
                setattr(layer, hook.name, getattr(layer, f"{hook.name}_orig").data)


def draw_uniform_biases(module: nn.Module) -> None:
    """Draw the biases of convolutions and linear layers as PyTorch does: U(-b, b) with b = 1 / sqrt(fan-in).

    A network that loads its weights (``init_cfg=dict(type='Pretrained', ...)``) is left unchanged.
    """
    if "Pretrained" in str(getattr(module, "init_cfg", None)):
        return
    for layer in module.modules():
        if isinstance(layer, (nn.modules.conv._ConvNd, nn.Linear)) and layer.bias is not None:
            bound = layer.weight[0].numel() ** -0.5
            nn.init.uniform_(layer.bias, -bound, bound)


def warn_of_sigma_without_gradient(network: nn.Module) -> None:
    """Warn once if a network uses mmagic's default spectral normalization, which has no gradient through sigma."""
    if any(hasattr(layer, "sn_weight") for layer in network.modules()):
        _warn_once()


@cache
def _warn_once() -> None:
    print_log(
        "sn_style='ajbrock', mmagic's default, has no gradient through sigma, unlike BigGAN's own code; set "
        "sn_style='torch' in the generator and the discriminator.",
        "current",
        logging.WARNING,
    )


@library.custom_op("nda_mm::power_iteration", mutates_args=())
def _iterate(matrix: Tensor, u: Tensor, v: Tensor, iterations: int, eps: float) -> tuple[Tensor, Tensor]:
    """Run power iterations as one operation that is opaque to a compiler."""
    with torch.autocast(matrix.device.type, enabled=False):
        for _ in range(iterations):
            v = F.normalize(torch.mv(matrix.t(), u), dim=0, eps=eps)
            u = F.normalize(torch.mv(matrix, v), dim=0, eps=eps)
    return u, v


@_iterate.register_fake
def _iterate_shapes(matrix: Tensor, u: Tensor, v: Tensor, iterations: int, eps: float) -> tuple[Tensor, Tensor]:
    return torch.empty_like(u), torch.empty_like(v)


class SavedSpectralNorm(SpectralNorm):
    """PyTorch's spectral normalization, with correct gradients in a compiled network.

    PyTorch updates ``u`` and ``v`` in place. When compiled (seen with 2.11), the backward pass repeats that iteration
    instead of saving its result, but starts from the ``u`` that the forward pass has already changed. Output and loss
    are correct, but the weight's gradient is off by a third at the start of training. Here the iteration is one opaque
    operation, which is not repeated. Names, values and memory of the vectors do not change.
    """

    def compute_weight(self, module: nn.Module, do_power_iteration: bool) -> Tensor:
        """Return the weight divided by the estimate of its largest singular value."""
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
    """Compile a network in place with ``torch.compile``, so that its weights keep their names.

    Args:
        network: Network to compile. Any spectral normalization must be that of ``torch.nn.utils.spectral_norm``.
        options: Arguments of ``torch.compile``.

    Raises:
        ValueError: If the network has mmagic's own spectral normalization, which changes its vectors in place.

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
        policy: Augmentations to apply, any of 'color', 'translation' and 'cutout'. Defaults to all.

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
    """Build an augmentation from its config; a module or None is returned unchanged."""
    if augment is None or isinstance(augment, nn.Module):
        return augment
    with DefaultScope.overwrite_default_scope(SCOPE):
        return MODELS.build(augment)


def augment_discriminator(discriminator: nn.Module, augment: nn.Module) -> None:
    """Apply ``augment`` to every image that the discriminator is trained on.

    Real, generated and negative images are augmented alike, in the steps of both networks and in gradient penalties. In
    evaluation mode nothing is augmented. This is done by a module hook, so checkpoint keys do not change.
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
    """Fully connected generator of points in the plane.

    Args:
        noise_size: Size of a noise vector, at least 1. Defaults to 4.
        width: Number of units per hidden layer. Defaults to 64.
        depth: Number of hidden layers, at least 1. Defaults to 2.

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
        """Return points, and with ``return_noise`` also the noise, as in mmagic. ``num_batches`` is not used."""
        points = self.layers(noise).view(-1, 1, 1, 2)
        return dict(fake_img=points, noise_batch=noise) if return_noise else points


@MODELS.register_module()
class PointDiscriminator(nn.Module):
    """Fully connected discriminator of points in the plane.

    Args:
        width: Number of units per hidden layer. Defaults to 64.
        depth: Number of hidden layers, at least 1. Defaults to 2.

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
        """Return the logits of points."""
        return self.layers(torch.flatten(points, 1))
