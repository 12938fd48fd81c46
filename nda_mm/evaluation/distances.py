"""Distances between two sets of features, and the classifier score: pure functions, computed in float64."""

from __future__ import annotations

import torch
from torch import Tensor


def check_features(**features: Tensor) -> None:
    """Raise ValueError if features, given by argument name, are not matrices of the same width."""
    shapes = [tuple(each.shape) for each in features.values()]
    if any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes):
        raise ValueError(f"{' and '.join(features)} must have the shape (N, D) with the same D, but got {shapes}")


class FeatureStatistics:
    """Count, mean and covariance of features that arrive in batches; memory does not grow with their number.

    Batches are merged through their means and scatter matrices rather than sums of squares, so that features far from 0
    lose no precision (Chan, Golub and LeVeque, "Algorithms for computing the sample variance", 1983).

    Example:
        >>> statistics = FeatureStatistics()
        >>> statistics.update(torch.tensor([[0.0], [2.0]])).update(torch.tensor([[4.0]])).count
        3
        >>> statistics.mean.item(), statistics.covariance.item()
        (2.0, 4.0)
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = torch.empty(0)  # (D,)
        self.scatter = torch.empty(0, 0)  # sum of (x - mean)(x - mean)^T, (D, D)

    def update(self, features: Tensor) -> FeatureStatistics:
        """Add a batch.

        Args:
            features: Features of any floating dtype, on any device. Statistics are kept in float64, on the same device
                if it supports float64. Shape: ``(N, D)``, with the same ``D`` in every call.

        Returns:
            This object.

        Raises:
            ValueError: If the features are not a matrix, or their width differs from that of earlier batches.
        """
        check_features(features=features)
        if features.device.type == "mps":  # no float64 there
            features = features.cpu()
        batch, features = FeatureStatistics(), features.detach().double()
        batch.count, batch.mean = len(features), features.mean(dim=0)
        centered = features - batch.mean
        batch.scatter = centered.T @ centered
        return self.merge(batch)

    def merge(self, other: FeatureStatistics) -> FeatureStatistics:
        """Add the statistics of other features, for example of another rank, and return this object."""
        if other.count == 0:
            return self
        if self.count == 0:
            self.count, self.mean, self.scatter = other.count, other.mean, other.scatter
            return self
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features must have the same width, but got {len(self.mean)} and {len(other.mean)}")
        count = self.count + other.count
        gap = other.mean.to(self.mean.device) - self.mean
        scatter = other.scatter.to(self.mean.device)
        self.scatter = self.scatter + scatter + torch.outer(gap, gap) * (self.count * other.count / count)
        self.mean = self.mean + gap * (other.count / count)
        self.count = count
        return self

    @property
    def covariance(self) -> Tensor:
        """Unbiased covariance, ``(D, D)``; needs at least 2 samples."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 samples, but got {self.count}")
        return self.scatter / (self.count - 1)

    @property
    def rank_deficient(self) -> bool:
        """Whether there are too few samples for the covariance to have full rank, which biases distances upwards."""
        return self.count <= len(self.mean)

    def to(self, device: str | torch.device) -> FeatureStatistics:
        """Return a copy on another device."""
        copy = FeatureStatistics()
        copy.count, copy.mean, copy.scatter = self.count, self.mean.to(device), self.scatter.to(device)
        return copy


def frechet_distance(mean1: Tensor, covariance1: Tensor, mean2: Tensor, covariance2: Tensor) -> float:
    r"""Compute the squared Frechet (2-Wasserstein) distance between two Gaussians with the given moments.

    .. math:: |\mu_1 - \mu_2|^2 + \mathrm{tr}\,C_1 + \mathrm{tr}\,C_2 - 2\,\mathrm{tr}\,(C_1 C_2)^{1/2}

    The last trace is computed as the sum of the singular values of :math:`C_1^{1/2} C_2^{1/2}`. Both roots are taken of
    symmetric matrices, and singular values are accurate to the last digits of the largest one. Rank-deficient
    covariances therefore need no jitter, and complex numbers never appear.

    Source: Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982; its use on
    features: Heusel et al., NeurIPS 2017, https://arxiv.org/abs/1706.08500. The name FID is reserved for features of
    the Inception network.

    Args:
        mean1, mean2: Means of the Gaussians.
        covariance1, covariance2: Their covariances: symmetric, positive semi-definite, of any rank.

    Shape:
        Means ``(D,)``, covariances ``(D, D)``; computed in float64.

    Returns:
        The squared distance, at least 0. Between identical moments it is 0 up to rounding, about 1e-15 of the traces.

    Raises:
        ValueError: If the shapes do not match, or a value is not finite.

    Example:
        >>> one = torch.eye(2)
        >>> round(frechet_distance(torch.zeros(2), one, torch.ones(2), 4 * one), 12)
        4.0
    """
    moments = [value.detach().double() for value in (mean1, covariance1, mean2, covariance2)]
    width = moments[0].numel()
    if [tuple(value.shape) for value in moments] != [(width,), (width, width)] * 2:
        raise ValueError(
            "means must have the shape (D,) and covariances (D, D) with the same D, but got "
            f"{', '.join(str(tuple(value.shape)) for value in moments)}"
        )
    if not all(torch.isfinite(value).all() for value in moments):
        raise ValueError("means and covariances must be finite, but hold inf or nan; check the images and the network")
    mean1, covariance1, mean2, covariance2 = moments
    if torch.equal(mean1, mean2) and torch.equal(covariance1, covariance2):
        return 0.0
    cross = torch.linalg.svdvals(_symmetric_root(covariance1) @ _symmetric_root(covariance2)).sum()
    distance = (mean1 - mean2).square().sum() + covariance1.trace() + covariance2.trace() - 2 * cross
    return max(distance.item(), 0.0)


def kernel_distance(first: Tensor, second: Tensor, *, degree: int = 3, block: int = 2048) -> float:
    r"""Estimate the squared maximum mean discrepancy with the polynomial kernel :math:`(x \cdot y / D + 1)^{degree}`.

    The estimate uses all pairs of samples. It has the same expectation as the often reported mean over random subsets,
    and less variance. Unlike the Frechet distance, it is unbiased for small samples, and it can be negative.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, https://arxiv.org/abs/1801.01401.

    Args:
        first, second: Features of any floating dtype; computed in float64.
        degree: Degree of the polynomial, at least 1. Defaults to 3.
        block: Rows per kernel block, which limits the memory to ``block * N`` values. Defaults to 2048.

    Shape:
        ``(N, D)`` and ``(M, D)``, ``N`` and ``M`` at least 2.

    Returns:
        The estimate.

    Raises:
        ValueError: If the shapes do not match or a set has fewer than 2 samples.

    Example:
        >>> kernel_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
        -3.5
    """
    check_features(first=first, second=second)
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a kernel distance needs at least 2 samples per set, but got {len(first)} and {len(second)}")
    first, second = first.detach().double(), second.detach().double()

    def kernel_sum(left: Tensor, right: Tensor) -> float:
        return sum((((part @ right.T) / left.shape[1] + 1) ** degree).sum().item() for part in left.split(block))

    def within(features: Tensor) -> float:
        diagonal = ((features.square().sum(dim=1) / features.shape[1] + 1) ** degree).sum().item()
        return (kernel_sum(features, features) - diagonal) / (len(features) * (len(features) - 1))

    return within(first) + within(second) - 2 * kernel_sum(first, second) / (len(first) * len(second))


def classifier_score(probabilities: Tensor, *, splits: int = 1) -> tuple[float, float]:
    """Compute the exponential of the mean KL divergence of each sample's class probabilities from their mean.

    With the Inception network this is the Inception Score. The score lies between 1 and the number of classes; it is
    high if predictions are confident and all classes are equally frequent.

    Source: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, https://arxiv.org/abs/1606.03498.

    Args:
        probabilities: Predicted class probabilities; computed in float64.
        splits: Number of groups, taken in order, whose scores are averaged. The usual 10 lowers the score of small
            samples. Defaults to 1.

    Shape:
        ``(N, classes)``, ``N`` at least ``splits``.

    Returns:
        Mean and standard deviation of the score over the splits.

    Raises:
        ValueError: If the shape is wrong or ``splits`` is out of range.

    Example:
        >>> mean, std = classifier_score(torch.eye(10))
        >>> round(mean, 9), std
        (10.0, 0.0)
    """
    if probabilities.ndim != 2 or not 1 <= splits <= len(probabilities):
        raise ValueError(
            "probabilities must have the shape (N, classes) with N >= splits >= 1, but got "
            f"{tuple(probabilities.shape)} and {splits} splits"
        )
    scores = []
    for group in probabilities.detach().double().tensor_split(splits):
        divergence = torch.xlogy(group, group) - torch.xlogy(group, group.mean(dim=0))
        scores.append(divergence.sum(dim=1).mean().exp())
    stacked = torch.stack(scores)
    return stacked.mean().item(), stacked.std(correction=0).item()


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    # Smaller eigenvalues are rounding errors of zeros; the root of one would be about 1e8 times as large as the error.
    noise = len(values) * torch.finfo(values.dtype).eps * values.abs().max()
    roots = torch.where(values > noise, values, torch.zeros_like(values)).sqrt()
    return (vectors * roots) @ vectors.T
