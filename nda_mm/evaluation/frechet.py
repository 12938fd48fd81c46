"""The Frechet distance between two sets of features, and the statistics that it needs, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FeatureStatistics", "frechet_distance"]


class FeatureStatistics:
    """Count, mean and covariance of features that arrive in batches; memory does not grow with their number.

    Batches are merged by their means and scatter matrices rather than by sums of squares, so that features far from 0
    lose no digits (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).

    Example:
        >>> statistics = FeatureStatistics()
        >>> statistics.update(torch.tensor([[0.0], [2.0]])).update(torch.tensor([[4.0]])).count
        3
        >>> statistics.mean.item(), statistics.covariance.item()
        (2.0, 4.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: Tensor | None = None
        self._scatter: Tensor | None = None  # sum of (x - mean)(x - mean)^T

    def update(self, features: Tensor) -> FeatureStatistics:
        """Take in a batch.

        Args:
            features: Of any floating dtype and device; kept in float64, on that device where it has float64.

        Shape:
            ``(N, D)``, the same ``D`` in every call.

        Returns:
            This object.

        Raises:
            ValueError: if the features are no matrix, or of another width than those before.
        """
        if features.ndim != 2:
            raise ValueError(f"features must have the shape (N, D), but got {tuple(features.shape)}")
        if len(features) == 0:
            return self
        if features.device.type == "mps":  # which has no float64
            features = features.cpu()
        batch, features = FeatureStatistics(), features.detach().double()
        batch.count, batch._mean = len(features), features.mean(dim=0)
        centred = features - batch._mean
        batch._scatter = centred.T @ centred
        return self.merge(batch)

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """Take in the statistics of other features, for example those of another rank; returns this object."""
        if other.count == 0:
            return self
        if self.count == 0:
            self.count, self._mean, self._scatter = other.count, other.mean, other.scatter
            return self
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features of width {len(self.mean)} and {len(other.mean)} do not belong to one network")
        count = self.count + other.count
        gap = other.mean.to(self.mean.device) - self.mean
        scatter = other.scatter.to(self.mean.device)
        self._scatter = self.scatter + scatter + torch.outer(gap, gap) * (self.count * other.count / count)
        self._mean = self.mean + gap * (other.count / count)
        self.count = count
        return self

    @property
    def mean(self) -> Tensor:
        """Mean, ``(D,)``."""
        if self._mean is None:
            raise ValueError("there are no features yet: update() the statistics first")
        return self._mean

    @property
    def scatter(self) -> Tensor:
        """Sum of the outer products of the centred features, ``(D, D)``."""
        if self._scatter is None:
            raise ValueError("there are no features yet: update() the statistics first")
        return self._scatter

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, ``(D, D)``; of one sample it is undefined and refused."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, but there are {self.count}")
        return self.scatter / (self.count - 1)

    @property
    def rank_deficient(self) -> bool:
        """Whether there are too few samples for the covariance to have full rank, which biases distances upwards."""
        return self.count <= len(self.mean)

    def to(self, device: str | torch.device) -> FeatureStatistics:
        """A copy on another device."""
        copy = FeatureStatistics()
        copy.count = self.count
        if self.count:
            copy._mean, copy._scatter = self.mean.to(device), self.scatter.to(device)
        return copy


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    r"""Squared Frechet (2-Wasserstein) distance between two Gaussians with the given moments.

    .. math:: |\mu_1 - \mu_2|^2 + \mathrm{tr}\,C_1 + \mathrm{tr}\,C_2 - 2\,\mathrm{tr}\,(C_1 C_2)^{1/2}

    The last trace is the sum of the singular values of :math:`C_1^{1/2} C_2^{1/2}`. Both roots are those of symmetric
    matrices and singular values are accurate to the last digits of the largest, so that covariances without full rank
    need no jitter and no complex number appears.

    Source: Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982; its use on
    features: Heusel et al., NeurIPS 2017, https://arxiv.org/abs/1706.08500. The name FID is kept for features of the
    Inception network.

    Args:
        mean1, mean2: Means.
        covariance1, covariance2: Symmetric, positive semi-definite; any rank.

    Shape:
        Means ``(D,)``, covariances ``(D, D)``; computed in float64.

    Returns:
        The squared distance, at least 0. Between identical moments it is 0 up to rounding, about 1e-15 of the traces.

    Raises:
        ValueError: if shapes do not fit, or something is not finite.

    Example:
        >>> one = torch.eye(2)
        >>> round(frechet_distance(torch.zeros(2), one, torch.ones(2), 4 * one), 12)
        4.0
    """
    moments = [value.detach().double() for value in (mean1, covariance1, mean2, covariance2)]
    width = moments[0].numel()
    if [tuple(value.shape) for value in moments] != [(width,), (width, width)] * 2:
        raise ValueError(
            "means must have the shape (D,) and covariances (D, D), with one D, but got "
            f"{', '.join(str(tuple(value.shape)) for value in moments)}"
        )
    if not all(torch.isfinite(value).all() for value in moments):
        raise ValueError(
            "means and covariances must be finite; look for NaN or infinite features, so for broken images"
        )
    mean1, covariance1, mean2, covariance2 = moments
    if torch.equal(mean1, mean2) and torch.equal(covariance1, covariance2):
        return 0.0
    cross = torch.linalg.svdvals(_symmetric_root(covariance1) @ _symmetric_root(covariance2)).sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * cross
    return max(distance.item(), 0.0)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    # Below this they are rounding of a zero, whose root would be a hundred million times as large as the rounding.
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    roots = torch.where(values > noise, values, torch.zeros_like(values)).sqrt()
    return (vectors * roots) @ vectors.T
