"""Nearest neighbours by brute force in chunks: exact, fast enough on a CPU for the sizes of an audit."""

from __future__ import annotations

import torch
from torch import Tensor

_CHUNK_ELEMENTS = 1 << 24


def nearest_neighbours(queries: Tensor, references: Tensor, exclude: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Euclidean distance to, and index of, the nearest reference of each query.

    The search goes through matrix products; the distance to what it found is then computed from the difference, so that
    small distances (near duplicates) don't drown in cancellation.

    Args:
        queries: Floating. Shape: (Q, D).
        references: Floating, same dtype. Shape: (R, D).
        exclude: For each query the index of a reference that does not count (itself), or -1. Shape: (Q,).

    Returns:
        Distances, shape (Q,), and indices, shape (Q,). Without any reference left the distance is infinite, the index
        -1.

    Example:
        >>> distances, indices = nearest_neighbours(torch.tensor([[0.0], [5.0]]), torch.tensor([[1.0], [7.0]]))
        >>> distances.tolist(), indices.tolist()
        ([1.0, 2.0], [0, 1])
    """
    if queries.ndim != 2 or references.ndim != 2 or queries.shape[1] != references.shape[1]:
        raise ValueError(f"queries (Q, D) and references (R, D) are needed, got {queries.shape} and {references.shape}")
    if len(references) == 0:
        return queries.new_full((len(queries),), torch.inf), torch.full((len(queries),), -1)
    centre = references.mean(dim=0)
    references = references - centre
    squares = references.square().sum(dim=1)
    step = max(1, _CHUNK_ELEMENTS // len(references))
    distances, indices = [], []
    for start in range(0, len(queries), step):
        chunk = queries[start : start + step] - centre
        # |q|^2 is the same for all references of a query, so it does not matter to the search.
        scores = torch.addmm(squares, chunk, references.T, alpha=-2)
        if exclude is not None:
            left_out = exclude[start : start + step]
            rows = (left_out >= 0).nonzero().flatten()
            scores[rows, left_out[rows]] = torch.inf
        best, index = scores.min(dim=1)
        found = (chunk - references[index]).norm(dim=1)
        distances.append(torch.where(best.isinf(), torch.inf, found))
        indices.append(torch.where(best.isinf(), -1, index))
    return torch.cat(distances), torch.cat(indices)
