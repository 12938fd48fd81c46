"""How well two sets of samples can be told apart, and how sure a measured rate is."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def wilson_interval(count: int, total: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of a rate seen as ``count`` out of ``total``.

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927. It holds
    its level where counts are few, or none, in which case the plain normal interval has no width.

    Args:
        count: Hits, 0 to ``total``.
        total: Trials, at least 1.
        z: Standard normal quantile; 1.96 gives 95 %.

    Example:
        >>> low, high = wilson_interval(0, 100)
        >>> round(low, 4), round(high, 4)
        (0.0, 0.037)
    """
    if total < 1 or not 0 <= count <= total:
        raise ValueError(f"0 <= count <= total and total >= 1 are needed, but got {count} of {total}")
    rate = count / total
    denominator = 1 + z**2 / total
    centre = (rate + z**2 / (2 * total)) / denominator
    half = z / denominator * math.sqrt(rate * (1 - rate) / total + z**2 / (4 * total**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def auroc_interval(value: float, num_negatives: int, num_reals: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval of an AUROC.

    Source: J. A. Hanley, B. J. McNeil, The meaning and use of the area under a ROC curve, Radiology 143, 1982.

    Example:
        >>> low, high = auroc_interval(0.5, 500, 500)
        >>> round(low, 3), round(high, 3)
        (0.464, 0.536)
    """
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (num_negatives - 1) * (first - value**2) + (num_reals - 1) * (second - value**2)
    half = z * math.sqrt(max(variance, 0.0) / (num_negatives * num_reals))
    return max(0.0, value - half), min(1.0, value + half)


def passing_count(negatives: Tensor, reals: Tensor, keep: float = 0.95) -> int:
    """How many negatives score no higher than the threshold that keeps the share ``keep`` of the reals.

    Example:
        >>> passing_count(torch.tensor([0.0, 9.0, 12.0]), torch.arange(11.0))
        2
    """
    return int((negatives <= torch.quantile(reals.double(), keep).to(negatives.dtype)).sum())


def classifier_scores(
    reals: Tensor, negatives: Tensor, *, hidden: int = 512, folds: int = 4, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Out-of-fold scores of a small classifier trained to tell negatives from the reals they were made of.

    A classifier two-sample test (D. Lopez-Paz, M. Oquab, Revisiting classifier two-sample tests, ICLR 2017): if no
    classifier does better than chance on what it was not trained on, the two sets have the same distribution as far as
    it can see. The classifier is ridge regression over the features and random rectified projections of them: closed
    form, no tuning, seconds. Row i of both sets is in the same fold, so that an image never helps to judge its own
    negative.

    Args:
        reals: Features. Shape: (N, D).
        negatives: Features of the negative of each. Shape: (N, D).
        hidden: Number of random projections.
        folds: Number of folds.
        generator: Draws folds and projections.

    Returns:
        Scores of reals and of negatives, higher meaning negative. Shape: (N,) each.
    """
    if reals.shape != negatives.shape or len(reals) < 2 * folds:
        raise ValueError(f"two sets of one shape with at least {2 * folds} rows, got {reals.shape}, {negatives.shape}")
    count = len(reals)
    both = torch.cat([reals, negatives]).double()
    both = (both - both.mean(dim=0)) / both.std(dim=0).clamp_min(1e-6)
    projection = torch.randn(both.shape[1], hidden, dtype=both.dtype, generator=generator) / math.sqrt(both.shape[1])
    offsets = torch.randn(hidden, dtype=both.dtype, generator=generator)
    both = torch.cat([both, (both @ projection + offsets).relu(), torch.ones(2 * count, 1, dtype=both.dtype)], dim=1)
    target = torch.cat([-torch.ones(count), torch.ones(count)]).to(both)
    fold = torch.randperm(count, generator=generator).remainder(folds).repeat(2)
    scores = torch.empty_like(target)
    for index in range(folds):
        train, held_out = both[fold != index], both[fold == index]
        gram = train.T @ train
        # About one standard deviation of the scores' noise; more rows than columns are then not needed.
        gram.diagonal().add_(0.1 * gram.diagonal().mean())
        weights = torch.linalg.solve(gram, train.T @ target[fold != index])
        scores[fold == index] = held_out @ weights
    return scores[:count], scores[count:]
