"""Brute-force nearest neighbors in chunks, and what is built on them: precision and recall, kNN classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .distances import check_features

#: Number of pairs held at a time, which limits the memory: 128 MiB in float64, a few times that at the peak.
_CHUNK = 1 << 24


def nearest_neighbors(queries: Tensor, references: Tensor, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find the nearest reference of each query by Euclidean distance.

    The search uses matrix products. The distance to the nearest reference is then recomputed from the difference, so
    that small distances (near duplicates) are not lost to cancellation.

    Args:
        queries: Query features, floating. Shape: (Q, D).
        references: Reference features of the same dtype. Shape: (R, D), R at least 1.
        exclude: Index of a reference to ignore for each query, such as the query itself. Shape: (Q,). Defaults to None.

    Returns:
        Distances, shape (Q,), and indices, shape (Q,).

    Raises:
        ValueError: If the shapes do not match, or a feature is not finite.

    Example:
        >>> distances, indices = nearest_neighbors(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [7.0]]))
        >>> distances.tolist(), indices.tolist()
        ([1.0, 2.0], [0, 1])
    """
    _check(queries=queries, references=references)
    if not len(references):
        raise ValueError("references must have at least one row, but got none")
    center = references.mean(dim=0)
    queries, references = queries - center, references - center
    distances, indices = [], []
    for rows, squared in _squared_distances(queries, references):
        if exclude is not None:
            squared.scatter_(1, exclude[rows, None], torch.inf)
        index = squared.argmin(dim=1)
        distances.append((queries[rows] - references[index]).norm(dim=1))
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def precision_recall(real: Tensor, fake: Tensor, *, k: int = 3) -> tuple[float, float]:
    r"""Compute improved precision and recall from the features of real and generated images.

    The region that a set covers is estimated by balls: the ball around each sample reaches to its k-th nearest neighbor
    in the set. **Precision** is the share of generated samples that lie in a ball of the real ones, **recall** the
    share of real samples that lie in a ball of the generated ones. A generator that drops modes loses recall; one that
    produces images unlike the data loses precision. Both values rise with ``k`` and depend on the number of samples, so
    they are only comparable at equal settings, and the two sets should have the same size.

    A sample exactly at the radius of a ball lies inside. Distances are computed as
    :math:`|x|^2 + |y|^2 - 2 x \cdot y` in float64, with the origin moved to the mean of the real features, and with a
    tolerance for rounding errors: duplicates and ties are treated as in exact arithmetic.

    Source: Kynkaanniemi, Karras, Laine, Lehtinen and Aila, "Improved Precision and Recall Metric for Assessing
    Generative Models", NeurIPS 2019, section 2, https://arxiv.org/abs/1904.06991, with k = 3.

    Args:
        real, fake: Features of any floating dtype, on the same device. Shape: (N, D) and (M, D).
        k: The nearest neighbor that defines the radius of a ball, at least 1 and below the size of either set.
            Defaults to 3.

    Returns:
        Precision and recall, both from 0 to 1.

    Raises:
        ValueError: If the shapes do not match, there are too few samples, or a feature is not finite.

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
        >>> precision_recall(real, torch.tensor([[0.5], [1.0], [1.5], [4.0]]), k=1)
        (0.75, 0.6)
    """
    _check(real=real, fake=fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(f"k must be at least 1 and below the sizes {len(real)} and {len(fake)}, but got {k}")
    real, fake = real.detach().double(), fake.detach().double()
    center = real.mean(dim=0)
    real, fake = real - center, fake - center
    # The product of two rows can be off by D eps |x| |y|, in both a distance and a radius.
    largest = torch.cat([real, fake]).square().sum(dim=1).max()
    slack = 4 * real.shape[1] * torch.finfo(torch.float64).eps * largest
    # Compute the radii of the balls and the samples inside them.
    real_radius, fake_radius = (_squared_radius(features, k) + slack for features in (real, fake))
    covered_real = []
    covered_fake = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    for rows, squared in _squared_distances(real, fake):
        covered_real.append((squared <= fake_radius).any(dim=1))
        covered_fake |= (squared <= real_radius[rows, None]).any(dim=0)
    return covered_fake.double().mean().item(), torch.cat(covered_real).double().mean().item()


def knn_scores(
    queries: Tensor,
    bank: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    k: int = 200,
    temperature: float = 0.07,
    exclude: Tensor | None = None,
) -> Tensor:
    r"""Sum the votes of each query's ``k`` most similar bank entries, weighted by their similarity.

    With cosine similarities :math:`s_i` to the neighbors, class :math:`c` gets
    :math:`\sum_{i \in N_k} \exp(s_i / \tau)\, [c_i = c]`. The votes are divided by the vote of the nearest neighbor,
    which keeps them finite at any temperature and does not change the order of the classes.

    Entries that are tied for the ``k``-th place share the remaining places, so that the result depends neither on the
    order of the bank nor on how a device sorts.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, section
    3.4, https://arxiv.org/abs/1805.01978, with k = 200 and temperature 0.07.

    Args:
        queries: Features to classify, of any length; they are normalized here. Half precision is computed in float32.
        bank: Features of known class, of any length.
        labels: Classes of the bank, in [0, ``num_classes``).
        num_classes: Number of classes, at least 1.
        k: Number of neighbors that vote, from 1 to the size of the bank. Defaults to 200.
        temperature: Temperature of the votes, > 0; a smaller one gives the nearest neighbors more weight. Defaults to
            0.07.
        exclude: Index of a bank entry to ignore for each query, such as the query itself. Defaults to None.

    Shape:
        ``(Q, D)``, ``(N, D)``, ``(N,)``, ``exclude`` ``(Q,)``.

    Returns:
        Votes, at least 0. Shape: ``(Q, num_classes)``.

    Raises:
        ValueError: If the shapes do not match, an argument is out of range, or a feature is not finite.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> knn_scores(torch.tensor([[2.0, 0.0]]), bank, torch.tensor([0, 1, 1]), 2, k=2, temperature=0.4).tolist()
        [[1.0, 0.3678794503211975]]
    """
    # Check the arguments.
    queries, bank = _unit_rows(queries, bank)
    if labels.shape != bank.shape[:1]:
        raise ValueError(f"labels must have shape ({len(bank)},), one per bank entry, but got {tuple(labels.shape)}")
    voters = len(bank) - (exclude is not None)
    if not 1 <= k <= voters:
        raise ValueError(f"k must be from 1 to {voters}, the number of bank entries that can vote, but got {k}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be above 0 and finite, but got {temperature}")
    # Sum the votes, for a few queries at a time.
    one_hot = F.one_hot(labels.long(), num_classes).to(bank.dtype)
    votes = [queries.new_zeros(0, num_classes)]
    start = 0
    for part in _chunks(queries, len(bank)):
        similarity = part @ bank.T
        if exclude is not None:
            similarity.scatter_(1, exclude[start : start + len(part), None], -math.inf)
        start += len(part)
        nearest = similarity.topk(k, dim=1).values
        # Entries tied for the k-th place share the remaining places.
        above, tied = similarity > nearest[:, -1:], similarity == nearest[:, -1:]
        share = (k - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
        weight = ((similarity - nearest[:, :1]) / temperature).exp()
        votes.append((weight * (above + share * tied)) @ one_hot)
    return torch.cat(votes)


def knn_distances(queries: Tensor, bank: Tensor, *, k: int = 50) -> Tensor:
    r"""Compute the Euclidean distance of each query to its ``k``-th nearest bank entry, all scaled to unit length.

    Used as an anomaly score: a large distance to the features of the training images means anomalous.

    Source: Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022,
    https://arxiv.org/abs/2204.06507; k = 50 as in OpenOOD.

    Args:
        queries: Features of any length; they are normalized here. Half precision is computed in float32.
        bank: Features of the training images, of any length.
        k: The nearest neighbor whose distance counts, from 1 to the size of the bank. Defaults to 50.

    Shape:
        ``(Q, D)``, ``(N, D)``.

    Returns:
        Distances in [0, 2]. Shape: (Q,).

    Raises:
        ValueError: If the shapes do not match, ``k`` is out of range, or a feature is not finite.

    Example:
        >>> bank = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, -2.0]])
        >>> knn_distances(torch.tensor([[2.0, 0.0], [0.0, 5.0]]), bank, k=3)
        tensor([1.4142, 2.0000])
    """
    queries, bank = _unit_rows(queries, bank)
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must be from 1 to {len(bank)}, the size of the bank, but got {k}")
    distances = [queries.new_zeros(0)]
    for part in _chunks(queries, len(bank)):
        index = (part @ bank.T).topk(k, dim=1).indices[:, -1]
        distances.append((part - bank[index]).norm(dim=1))  # exact, unlike a distance derived from a similarity near 1
    return torch.cat(distances)


def topk_hits(scores: Tensor, labels: Tensor, topk: Sequence[int] = (1,)) -> list[int]:
    """Count the samples whose true class is among the top 1, 5, ... by score; ties are ranked by class index.

    Args:
        scores: Score of each class. Shape: (Q, C).
        labels: True classes. Shape: (Q,).
        topk: Values of k, each at least 1. Defaults to (1,).

    Returns:
        One count for each entry of ``topk``.

    Example:
        >>> topk_hits(torch.tensor([[0.2, 0.5, 0.5], [0.9, 0.1, 0.0]]), torch.tensor([2, 1]), (1, 2))
        [0, 2]
    """
    own = scores.gather(1, labels[:, None])
    earlier = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(dim=1)
    return [int((rank < count).sum()) for count in topk]


def _check(**features: Tensor) -> None:
    """Raise ValueError if features, given by argument name, are not finite matrices of the same width."""
    check_features(**features)
    for name, each in features.items():
        if not bool(each.isfinite().all()):
            raise ValueError(f"{name} must be finite, but got inf or nan")


def _unit_rows(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Check features and scale each row to unit length, in float32 at least."""
    _check(queries=queries, bank=bank)
    dtype = torch.promote_types(bank.dtype, torch.float32)
    return F.normalize(queries.detach().to(dtype), dim=1), F.normalize(bank.detach().to(dtype), dim=1)


def _chunks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """Split ``rows`` into parts small enough to hold all their pairs with ``width`` other rows in memory."""
    return rows.split(max(1, _CHUNK // width)) if len(rows) else ()


def _squared_distances(left: Tensor, right: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared distances from a few rows of ``left`` at a time to all rows of ``right``."""
    squares, start = right.square().sum(dim=1), 0
    for part in _chunks(left, len(right)):
        yield (
            slice(start, start + len(part)),
            torch.addmm(squares, part, right.T, alpha=-2) + part.square().sum(dim=1, keepdim=True),
        )
        start += len(part)


def _squared_radius(features: Tensor, k: int) -> Tensor:
    """Return the squared distance from each sample to its k-th nearest neighbor, not counting itself."""
    pairs = _squared_distances(features, features)
    return torch.cat([squared.topk(k + 1, dim=1, largest=False).values[:, -1] for _, squared in pairs])
