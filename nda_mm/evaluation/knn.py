"""Weighted k-nearest-neighbour classification of frozen features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["knn_scores", "topk_hits"]

_CHUNK_ELEMENTS = 1 << 24


def knn_scores(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    k: int = 200,
    temperature: float = 0.07,
    chunk_elements: int = _CHUNK_ELEMENTS,
) -> Tensor:
    r"""Votes of each query's ``k`` most similar bank entries, weighted by their similarity.

    With cosine similarities :math:`s_i` to the neighbours, class :math:`c` gets
    :math:`\sum_{i \in N_k} \exp(s_i / \tau)\, [c_i = c]`; the votes are divided by the nearest neighbour's, which keeps
    them finite at any temperature and changes no order.

    Entries that are equally similar at the ``k``-th place share what is left of the ``k`` places, so that the result
    depends neither on the order of the bank nor on how a device sorts.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, section
    3.4, https://arxiv.org/abs/1805.01978, with k = 200 and temperature 0.07.

    Args:
        queries: Features to classify; any length, they are normalised here. Half precision is computed in float32.
        bank: Features of known class.
        labels: Classes of the bank, in [0, ``num_classes``).
        num_classes: At least 1.
        k: Neighbours that vote, from 1 to the size of the bank. Default 200.
        temperature: > 0; the smaller, the more the nearest decide. Default 0.07.
        chunk_elements: Similarities that are held at a time, which bounds the memory. Default 2**24 (64 MiB in float32,
            a few times that at the peak).

    Shape:
        ``(Q, D)``, ``(N, D)``, ``(N,)``.

    Returns:
        Votes, shape ``(Q, num_classes)``, at least 0.

    Raises:
        ValueError: if shapes do not fit, a value is out of its range, or a feature is not finite.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> knn_scores(torch.tensor([[2.0, 0.0]]), bank, torch.tensor([0, 1, 1]), 2, k=2, temperature=0.4).tolist()
        [[1.0, 0.3678794503211975]]
    """
    _check(queries, bank, labels, num_classes, k, temperature)
    queries, bank = _normalised(queries), _normalised(bank)
    one_hot = F.one_hot(labels.long(), num_classes).to(bank.dtype)
    scores = [
        _vote(part @ bank.T, one_hot, k, temperature) for part in queries.split(max(1, chunk_elements // len(bank)))
    ]
    return torch.cat(scores) if scores else queries.new_zeros(0, num_classes)


def topk_hits(scores: Tensor, labels: Tensor, topk: Sequence[int] = (1,)) -> list[int]:
    """How many samples have their true class among the first 1, 5, ... by score; equal scores stand in label order.

    Args:
        scores: Of each class.
        labels: True classes.
        topk: Places that count, each at least 1. Default (1,).

    Shape:
        ``(Q, C)`` and ``(Q,)``.

    Returns:
        One count for each entry of ``topk``.

    Example:
        >>> topk_hits(torch.tensor([[0.2, 0.5, 0.5], [0.9, 0.1, 0.0]]), torch.tensor([2, 1]), (1, 2))
        [0, 2]
    """
    own = scores.gather(1, labels[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    place = ((scores > own) | ((scores == own) & earlier)).sum(dim=1)
    return [int((place < count).sum()) for count in topk]


def _vote(similarity: Tensor, one_hot: Tensor, k: int, temperature: float) -> Tensor:
    nearest = similarity.topk(k, dim=1).values
    last = nearest[:, -1:]
    above, tied = similarity > last, similarity == last
    share = (k - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
    weight = ((similarity - nearest[:, :1]) / temperature).exp()
    return (weight * (above + share * tied)) @ one_hot


def _normalised(features: Tensor) -> Tensor:
    features = features.detach()
    return F.normalize(features if features.dtype == torch.float64 else features.float(), dim=1)


def _check(queries: Tensor, bank: Tensor, labels: Tensor, num_classes: int, k: int, temperature: float) -> None:
    if queries.ndim != 2 or bank.ndim != 2 or queries.shape[1] != bank.shape[1] or labels.shape != bank.shape[:1]:
        raise ValueError(
            "queries (Q, D), bank (N, D) and labels (N,) are needed, but got "
            f"{tuple(queries.shape)}, {tuple(bank.shape)} and {tuple(labels.shape)}"
        )
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must be from 1 to the size of the bank, {len(bank)}, but is {k}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be above 0, but is {temperature}")
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise ValueError(
            f"labels must be in [0, {num_classes}), but reach from {int(labels.min())} to {int(labels.max())}"
        )
    for name, features in (("queries", queries), ("bank", bank)):
        if not bool(features.isfinite().all()):
            raise ValueError(f"the features of {name} hold values that are infinite or not a number")
