"""Precision and recall of generated samples: how many look real, and how much of what is real is generated."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PrecisionRecall", "precision_recall"]

_CHUNK_ELEMENTS = 1 << 24


class PrecisionRecall(NamedTuple):
    """What :func:`precision_recall` measures, both from 0 to 1."""

    precision: float
    recall: float


def precision_recall(
    real: Tensor, fake: Tensor, *, neighbours: int = 3, chunk_elements: int = _CHUNK_ELEMENTS
) -> PrecisionRecall:
    r"""Improved precision and recall, over the features of real and of generated images.

    The space that a set covers is estimated by balls: around each of its samples one that reaches to the sample's
    ``neighbours``-th nearest neighbour in the set. **Precision** is the share of the generated samples that lie in a
    ball of the real ones, **recall** the share of the real samples that lie in a ball of the generated ones. A
    generator that drops modes loses recall; one that makes what is not in the data loses precision. Both rise with
    ``neighbours`` and depend on the number of samples, so values compare at equal settings only, and the two sets
    should be of one size.

    A sample at exactly the radius of a ball lies inside. Distances are computed as
    :math:`|x|^2 + |y|^2 - 2 x \cdot y` in float64, with the origin moved to the mean of the real features, and what
    rounding may do to them is allowed for: duplicates and ties come out as they would in exact arithmetic.

    Source: Kynkaanniemi, Karras, Laine, Lehtinen and Aila, "Improved Precision and Recall Metric for Assessing
    Generative Models", NeurIPS 2019, section 2, https://arxiv.org/abs/1904.06991, with 3 neighbours.

    Args:
        real, fake: Features, of any floating dtype, on one device; computed in float64, on that device where it has
            float64.
        neighbours: Which neighbour a ball reaches to, at least 1 and below the size of either set. Default 3.
        chunk_elements: Distances that are held at a time, which bounds the memory. Default 2**24 (128 MiB, a few times
            that at the peak).

    Shape:
        ``(N, D)`` and ``(M, D)``.

    Returns:
        Precision and recall.

    Raises:
        ValueError: if the shapes do not fit, there are too few samples, or a feature is not finite.

    Example:
        >>> real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
        >>> precision_recall(real, torch.tensor([[0.5], [1.0], [1.5], [4.0]]), neighbours=1)
        PrecisionRecall(precision=0.75, recall=0.6)
    """
    _check(real, fake, neighbours, chunk_elements)
    if real.device.type == "mps":  # which has no float64
        real, fake = real.cpu(), fake.cpu()
    real, fake = real.detach().double(), fake.detach().double()
    centre = real.mean(dim=0)
    real, fake = real - centre, fake - centre
    # A product of two rows may be off by D eps |x| |y|, and both a distance and a radius are made of such.
    largest = torch.maximum(_norms(real).max(), _norms(fake).max())
    slack = 4 * real.shape[1] * torch.finfo(torch.float64).eps * largest
    real_reach = _reaches(real, neighbours, chunk_elements) + slack
    fake_reach = _reaches(fake, neighbours, chunk_elements) + slack

    covered_real = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered_fake = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    step = max(1, chunk_elements // len(fake))
    for start in range(0, len(real), step):
        rows = slice(start, start + step)
        distances = _squared_distances(real[rows], fake)
        covered_real[rows] = (distances <= fake_reach).any(dim=1)
        covered_fake |= (distances <= real_reach[rows, None]).any(dim=0)
    return PrecisionRecall(covered_fake.double().mean().item(), covered_real.double().mean().item())


def _norms(features: Tensor) -> Tensor:
    return features.square().sum(dim=1)


def _squared_distances(left: Tensor, right: Tensor) -> Tensor:
    return torch.addmm(_norms(right)[None], left, right.T, alpha=-2) + _norms(left)[:, None]


def _reaches(features: Tensor, neighbours: int, chunk_elements: int) -> Tensor:
    """Squared distance from each sample to its k-th nearest neighbour, itself not counted."""
    reaches = []
    for part in features.split(max(1, chunk_elements // len(features))):
        nearest = _squared_distances(part, features).topk(neighbours + 1, dim=1, largest=False).values
        reaches.append(nearest[:, -1])
    return torch.cat(reaches)


def _check(real: Tensor, fake: Tensor, neighbours: int, chunk_elements: int) -> None:
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(f"features must be (N, D) and (M, D), but got {tuple(real.shape)} and {tuple(fake.shape)}")
    if neighbours < 1 or chunk_elements < 1:
        raise ValueError(f"neighbours and chunk_elements must be at least 1, but got {neighbours} and {chunk_elements}")
    if min(len(real), len(fake)) <= neighbours:
        raise ValueError(
            f"each sample needs {neighbours} neighbours, so each set {neighbours + 1} samples, but there are "
            f"{len(real)} real and {len(fake)} generated ones"
        )
    for name, features in (("real", real), ("generated", fake)):
        if not bool(features.isfinite().all()):
            raise ValueError(f"the features of the {name} images hold values that are infinite or not a number")
