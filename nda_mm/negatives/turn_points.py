"""A negative of points in the plane."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..functional.checks import check_batch, check_within
from ..functional.geometry import LEAST_DEGREES
from ..registry import NEGATIVES
from .base import Negative


@NEGATIVES.register_module()
class TurnPoints(Negative):
    """Points turned around the origin by a fixed angle, to the left or to the right with equal chance.

    For data on a ring: half the angle between neighboring modes puts every point into a gap. As in all negative
    augmentation the negative is made of the sample, and keeps all that the turn keeps: the distance from the center and
    the spread around the mode.

    Source:
        The negatives between the modes of a mixture of Gaussians follow Sinha et al., "Negative Data Augmentation",
        ICLR 2021, https://arxiv.org/abs/2102.05113.

    Args:
        degrees: The angle, from 5 to 355. Defaults to 22.5, half the angle between eight modes.

    Shape:
        ``(B, 1, 1, 2)``, floating: points as images of one row and two columns, as of ``nda_mm.ToyGaussians``.

    Raises:
        TypeError: If the angle is not a number.
        ValueError: If the angle is out of its range, or what comes are no points.

    Example:
        >>> turned = TurnPoints(90)(torch.tensor([[[[1.0, 0.0]]]]))
        >>> turned.abs().round(decimals=4).tolist()
        [[[[0.0, 1.0]]]]
    """

    def __init__(self, degrees: float = 22.5) -> None:
        super().__init__()
        self.degrees = check_within(degrees, "degrees", LEAST_DEGREES, 360 - LEAST_DEGREES)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(f"points are floating tensors (B, 1, 1, 2), but got {x.dtype} {tuple(x.shape)}")
        self.check_size(*x.shape[-2:])
        side = 2 * torch.randint(2, x.shape[:-1], device=x.device, generator=generator) - 1
        angle = math.radians(self.degrees)
        cosine, sine = math.cos(angle), side * math.sin(angle)
        across, up = x.unbind(dim=-1)
        return torch.stack([cosine * across - sine * up, sine * across + cosine * up], dim=-1).to(x.dtype)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        if (height, width) != (1, 2):
            raise ValueError(f"points are images of one row and two columns, but got {height}x{width}; use Rotate")

    def extra_repr(self) -> str:
        return f"degrees={self.degrees:g}"
