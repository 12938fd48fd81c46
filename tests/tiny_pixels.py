"""Pixels that tell where they are, and negatives made of them by a plain loop; not a test module, see conftest.py."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import torch
from scipy import stats
from torch import Tensor


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(*shape: int) -> Tensor:
    """Every pixel with a value of its own."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)


def assert_equally_likely(drawn: Iterable[Any], categories: Iterable[Any], least: float = 0.01) -> None:
    """Every category was drawn, and nothing else, alike often by the chi-square test."""
    counts = Counter(drawn)
    assert set(counts) == set(categories)
    assert stats.chisquare(list(counts.values())).pvalue > least


def channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def by_loop(x: Tensor, source: Callable[[int, int, int], tuple[int, int, int]]) -> Tensor:
    """Every pixel taken from the (sample, row, column) that ``source`` names for its own."""
    out = x.clone()
    for sample, i, j in itertools.product(range(len(x)), range(x.shape[-2]), range(x.shape[-1])):
        other, row, column = (int(place) for place in source(sample, i, j))
        out[sample, ..., i, j] = x[other, ..., row, column]
    return out
