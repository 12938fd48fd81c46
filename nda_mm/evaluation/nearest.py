"""Nearest neighbors by brute force in chunks, and what is built on them: precision and recall, kNN classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .distances import check_features

#: Pairs that are held at a time, which bounds the memory: 128 MiB in float64, a few times that at the peak.
_CHUNK = 1 << 24


def nearest_neighbors(queries: Tensor, references: Tensor, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Find the Euclidean distance to, and the index of, the nearest reference of each query.

    The search goes through matrix products; the distance to the one found is then computed from the difference, so that
    small distances (near duplicates) are not lost to cancellation.

    Args:
        queries: Floating. Shape: (Q, D).
        references: Of the same dtype. Shape: (R, D), R at least 1.
        exclude: For each query the index of a reference that does not count (itself). Shape: (Q,).

    Returns:
        Distances, shape (Q,), and indices, shape (Q,).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> distances, indices = nearest_neighbors(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [7.0]]))
        >>> distances.tolist(), indices.tolist()
        ([1.0, 2.0], [0, 1])
    """
    _check(queries=queries, references=references)
    if not len(references):
        raise ValueError("references must hold at least one row, but are empty")
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
    r"""Compute improved precision and recall over the features of real and of generated images.

    The space that a set covers is estimated by balls: around each of its samples one that reaches to the sample's k-th
    nearest neighbor in the set. **Precision** is the share of the generated samples that lie in a ball of the real
    ones, **recall** the share of the real samples that lie in a ball of the generated ones. A generator that drops
    modes loses recall; one that makes what is not in the data loses precision. Both rise with ``k`` and depend on the
    number of samples, so values compare at equal settings only, and the two sets should be of one size.

    A sample at exactly the radius of a ball lies inside. Distances are computed as
    :math:`|x|^2 + |y|^2 - 2 x \cdot y` in float64, with the origin moved to the mean of the real features, and with an
    allowance for rounding: duplicates and ties come out as they would in exact arithmetic.

    Source: Kynkaanniemi, Karras, Laine, Lehtinen and Aila, "Improved Precision and Recall Metric for Assessing
    Generative Models", NeurIPS 2019, section 2, https://arxiv.org/abs/1904.06991, with k = 3.

    Args:
        real, fake: Features of any floating dtype, on one device. Shape: (N, D) and (M, D).
        k: Which neighbor a ball reaches to, at least 1 and below the size of either set. Default 3.

    Returns:
        Precision and recall, both from 0 to 1.

    Raises:
        ValueError: If the shapes do not fit, there are too few samples, or a feature is not finite.

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
    # A product of two rows may be off by D eps |x| |y|, and both a distance and a radius are made of such.
    largest = torch.cat([real, fake]).square().sum(dim=1).max()
    slack = 4 * real.shape[1] * torch.finfo(torch.float64).eps * largest
    # Radii of the balls, and what lies in them.
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
    :math:`\sum_{i \in N_k} \exp(s_i / \tau)\, [c_i = c]`; the votes are divided by the nearest neighbor's, which keeps
    them finite at any temperature and changes no order.

    Entries that are equally similar at the ``k``-th place share what is left of the ``k`` places, so that the result
    depends neither on the order of the bank nor on how a device sorts.

    Source: Wu et al., "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", CVPR 2018, section
    3.4, https://arxiv.org/abs/1805.01978, with k = 200 and temperature 0.07.

    Args:
        queries: Features to classify; any length, they are normalized here. Half precision is computed in float32.
        bank: Features of known class.
        labels: Classes of the bank, in [0, ``num_classes``).
        num_classes: At least 1.
        k: Neighbors that vote, from 1 to the size of the bank. Default 200.
        temperature: > 0; the smaller, the more the nearest decide. Default 0.07.
        exclude: For each query the index of an entry that has no vote (itself). Default None.

    Shape:
        ``(Q, D)``, ``(N, D)``, ``(N,)``, ``exclude`` ``(Q,)``.

    Returns:
        Votes, shape ``(Q, num_classes)``, at least 0.

    Raises:
        ValueError: If shapes do not fit, a value is out of its range, or a feature is not finite.

    Example:
        >>> bank = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
        >>> knn_scores(torch.tensor([[2.0, 0.0]]), bank, torch.tensor([0, 1, 1]), 2, k=2, temperature=0.4).tolist()
        [[1.0, 0.3678794503211975]]
    """
    # Check the arguments.
    queries, bank = _unit_rows(queries, bank)
    if labels.shape != bank.shape[:1]:
        raise ValueError(f"labels must be one for each of {len(bank)} entries of the bank, but got {labels.shape}")
    voters = len(bank) - (exclude is not None)
    if not 1 <= k <= voters:
        raise ValueError(f"k must be from 1 to the number of entries that vote, {voters}, but got {k}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(f"temperature must be above 0, but got {temperature}")
    # Votes of a few queries at a time.
    one_hot = F.one_hot(labels.long(), num_classes).to(bank.dtype)
    votes = [queries.new_zeros(0, num_classes)]
    start = 0
    for part in _chunks(queries, len(bank)):
        similarity = part @ bank.T
        if exclude is not None:
            similarity.scatter_(1, exclude[start : start + len(part), None], -math.inf)
        start += len(part)
        nearest = similarity.topk(k, dim=1).values
        # Those tied at the k-th place share what is left.
        above, tied = similarity > nearest[:, -1:], similarity == nearest[:, -1:]
        share = (k - above.sum(dim=1, keepdim=True)) / tied.sum(dim=1, keepdim=True)
        weight = ((similarity - nearest[:, :1]) / temperature).exp()
        votes.append((weight * (above + share * tied)) @ one_hot)
    return torch.cat(votes)


def knn_distances(queries: Tensor, bank: Tensor, *, k: int = 50) -> Tensor:
    r"""Compute the Euclidean distance of each query to its ``k``-th nearest bank entry, all at unit length.

    Far from the features of the training images means anomalous.

    Source: Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022,
    https://arxiv.org/abs/2204.06507; k = 50 as in OpenOOD.

    Args:
        queries: Features of any length; they are normalized here. Half precision is computed in float32.
        bank: Features of the training images.
        k: Which neighbor, from 1 to the size of the bank. Default 50.

    Shape:
        ``(Q, D)``, ``(N, D)``.

    Returns:
        Distances in [0, 2]. Shape: (Q,).

    Raises:
        ValueError: If shapes do not fit, ``k`` is out of its range, or a feature is not finite.

    Example:
        >>> bank = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, -2.0]])
        >>> knn_distances(torch.tensor([[2.0, 0.0], [0.0, 5.0]]), bank, k=3)
        tensor([1.4142, 2.0000])
    """
    queries, bank = _unit_rows(queries, bank)
    if not 1 <= k <= len(bank):
        raise ValueError(f"k must be from 1 to the size of the bank, {len(bank)}, but got {k}")
    distances = [queries.new_zeros(0)]
    for part in _chunks(queries, len(bank)):
        index = (part @ bank.T).topk(k, dim=1).indices[:, -1]
        distances.append((part - bank[index]).norm(dim=1))  # exact, where a similarity near 1 would be rounded
    return torch.cat(distances)


def topk_hits(scores: Tensor, labels: Tensor, topk: Sequence[int] = (1,)) -> list[int]:
    """Count the samples whose true class is among the first 1, 5, ... by score; equal scores stand in label order.

    Args:
        scores: Of each class. Shape: (Q, C).
        labels: True classes. Shape: (Q,).
        topk: Places that count, each at least 1. Default (1,).

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
    """Refuse features, by the name of the argument, that are no matrices of one width or not finite by ValueError."""
    check_features(**features)
    for name, each in features.items():
        if not bool(each.isfinite().all()):
            raise ValueError(f"{name} must be finite, but holds values that are infinite or not a number")


def _unit_rows(queries: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Check features and bring each to unit length, in float32 at least."""
    _check(queries=queries, bank=bank)
    dtype = torch.promote_types(bank.dtype, torch.float32)
    return F.normalize(queries.detach().to(dtype), dim=1), F.normalize(bank.detach().to(dtype), dim=1)


def _chunks(rows: Tensor, width: int) -> tuple[Tensor, ...]:
    """Parts of ``rows`` of which all pairs with ``width`` others fit into the memory."""
    return rows.split(max(1, _CHUNK // width)) if len(rows) else ()


def _squared_distances(left: Tensor, right: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield squared distances of a few rows of ``left`` at a time to all of ``right``."""
    squares, start = right.square().sum(dim=1), 0
    for part in _chunks(left, len(right)):
        yield (
            slice(start, start + len(part)),
            torch.addmm(squares, part, right.T, alpha=-2) + part.square().sum(dim=1, keepdim=True),
        )
        start += len(part)


def _squared_radius(features: Tensor, k: int) -> Tensor:
    """Squared distance from each sample to its k-th nearest neighbor, itself not counted."""
    pairs = _squared_distances(features, features)
    return torch.cat([squared.topk(k + 1, dim=1, largest=False).values[:, -1] for _, squared in pairs])
