"""Small networks for points in the plane, with the signatures that mmagic's GANs call."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from nda_mm.registry import MODELS

__all__ = ["PointDiscriminator", "PointGenerator"]


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
