"""The kernel distance between two sets of features (with Inception features: KID), and the classifier score."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["classifier_score", "kernel_distance"]


def kernel_distance(first: Tensor, second: Tensor, *, degree: int = 3, block: int = 2048) -> float:
    r"""Unbiased squared maximum mean discrepancy with the polynomial kernel :math:`(x \cdot y / D + 1)^{degree}`.

    All pairs enter, which has less variance than the mean over random subsets that is often reported, and the same
    expectation. Unlike the Frechet distance it has no bias at small samples, and it can be negative.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018, https://arxiv.org/abs/1801.01401.

    Args:
        first, second: Features, of any floating dtype; computed in float64.
        degree: Of the polynomial, at least 1. Default 3.
        block: Rows per kernel block, which bounds the memory to ``block * N`` values. Default 2048.

    Shape:
        ``(N, D)`` and ``(M, D)``, ``N`` and ``M`` at least 2.

    Returns:
        The estimate.

    Raises:
        ValueError: if the shapes do not fit or there are fewer than 2 samples.

    Example:
        >>> kernel_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[0.0], [1.0]]))
        -3.5
    """
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise ValueError(f"features must be (N, D) and (M, D), but got {tuple(first.shape)} and {tuple(second.shape)}")
    if min(len(first), len(second)) < 2:
        raise ValueError(f"a kernel distance needs 2 samples of each, but got {len(first)} and {len(second)}")
    if degree < 1 or block < 1:
        raise ValueError(f"degree and block must be at least 1, but got degree={degree}, block={block}")
    first, second = first.detach().double(), second.detach().double()

    def kernel_sum(left: Tensor, right: Tensor) -> float:
        return sum((((part @ right.T) / left.shape[1] + 1) ** degree).sum().item() for part in left.split(block))

    def within(features: Tensor) -> float:
        diagonal = ((features.square().sum(dim=1) / features.shape[1] + 1) ** degree).sum().item()
        return (kernel_sum(features, features) - diagonal) / (len(features) * (len(features) - 1))

    return within(first) + within(second) - 2 * kernel_sum(first, second) / (len(first) * len(second))


def classifier_score(probabilities: Tensor, *, splits: int = 1) -> tuple[float, float]:
    """Exponential of the mean divergence of a sample's predicted classes from those of all samples.

    Over the Inception network this is the Inception Score; over another classifier it is reported as its score. It lies
    between 1 and the number of classes, and is high where predictions are certain and the classes equally frequent.

    Source: Salimans et al., "Improved Techniques for Training GANs", NeurIPS 2016, https://arxiv.org/abs/1606.03498.

    Args:
        probabilities: Predicted class probabilities; computed in float64.
        splits: Groups, taken in order, whose scores are averaged; the customary 10 lowers the score of small samples.
            Default 1.

    Shape:
        ``(N, classes)``, ``N`` at least ``splits``.

    Returns:
        Mean and standard deviation of the score over the splits.

    Raises:
        ValueError: if the shape does not fit.

    Example:
        >>> mean, deviation = classifier_score(torch.eye(10))
        >>> round(mean, 9), deviation
        (10.0, 0.0)
    """
    if probabilities.ndim != 2 or not 1 <= splits <= len(probabilities):
        raise ValueError(
            "probabilities must have the shape (N, classes), with N >= splits >= 1, but got "
            f"{tuple(probabilities.shape)} and {splits} splits"
        )
    scores = []
    for group in probabilities.detach().double().tensor_split(splits):
        divergence = torch.xlogy(group, group) - torch.xlogy(group, group.mean(dim=0))
        scores.append(divergence.sum(dim=1).mean().exp())
    stacked = torch.stack(scores)
    return stacked.mean().item(), stacked.std(correction=0).item()
