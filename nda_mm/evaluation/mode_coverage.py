"""How points in the plane are spread over the modes that they should come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["ModeCoverage", "mode_coverage"]


@dataclass(frozen=True)
class ModeCoverage:
    """What :func:`mode_coverage` counts.

    Attributes:
        outside: Share of points that lie in no mode, 0 to 1.
        shares: Share of the points that lie in each mode; with ``outside`` they add up to 1.
    """

    outside: float
    shares: tuple[float, ...]

    @property
    def covered(self) -> int:
        """Modes that have at least a fifth of the points that equal modes would have."""
        return sum(share >= 0.2 / len(self.shares) for share in self.shares)


def mode_coverage(points: Tensor, centres: Tensor, deviation: float, *, within: float = 3.0) -> ModeCoverage:
    r"""Count the points of each mode of a mixture of equal round Gaussians, and those of none.

    A point lies in a mode if its distance from the centre is at most ``within`` deviations. Of a Gaussian in the plane
    :math:`e^{-w^2/2}` lies outside: 1.1 % at 3, which real points have too.

    Args:
        points: Shape: (N, 2), N at least 1. What is not finite lies outside.
        centres: Of the modes, farther from each other than the modes are wide. Shape: (M, 2).
        deviation: Of each mode in both directions, above 0.
        within: Radius of a mode in deviations, above 0.

    Returns:
        The shares.

    Raises:
        ValueError: If a shape or a number does not fit, or the modes overlap.

    Example:
        >>> centres = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
        >>> mode_coverage(torch.tensor([[0.0, 1.0], [0.0, 2.9], [0.0, 3.1], [10.0, 0.0]]), centres, 1.0)
        ModeCoverage(outside=0.25, shares=(0.5, 0.25))
    """
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or centres.ndim != 2 or centres.shape[1] != 2:
        raise ValueError(
            f"points and centres must be (N, 2) and (M, 2) with N at least 1, but got {tuple(points.shape)} and "
            f"{tuple(centres.shape)}"
        )
    if not (deviation > 0 and within > 0):
        raise ValueError(f"deviation and within must be above 0, but got {deviation} and {within}")
    centres = centres.to(points)
    if len(centres) > 1 and torch.pdist(centres.double()).min() <= 2 * within * deviation:
        raise ValueError(
            f"modes of radius {within * deviation:g} around these centres overlap; take a smaller 'within' or deviation"
        )
    distance, nearest = torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    inside = distance <= within * deviation  # false where it is nan
    shares = torch.bincount(nearest[inside], minlength=len(centres)).double() / len(points)
    return ModeCoverage(1.0 - inside.double().mean().item(), tuple(shares.tolist()))
