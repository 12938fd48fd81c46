"""Precision and recall against a slow loop in exact arithmetic, by hand, and in what they are meant to tell."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch

from nda_mm.evaluation.precision_recall import precision_recall

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


def normal(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(real: torch.Tensor, fake: torch.Tensor, neighbours: int) -> tuple[float, float]:
    """Kynkaanniemi et al., section 2, word by word, in rational numbers: no rounding, so ties are ties."""
    sets = [[[Fraction(value) for value in row] for row in features.tolist()] for features in (real, fake)]

    def distance(x: list[Fraction], y: list[Fraction]) -> Fraction:
        return sum(((a - b) ** 2 for a, b in zip(x, y)), Fraction(0))

    def covered(points: list, manifold: list) -> float:
        reach = [
            sorted(distance(x, y) for place, y in enumerate(manifold) if place != own)[neighbours - 1]
            for own, x in enumerate(manifold)
        ]
        inside = [any(distance(point, x) <= radius for x, radius in zip(manifold, reach)) for point in points]
        return sum(inside) / len(inside)

    return covered(sets[1], sets[0]), covered(sets[0], sets[1])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("neighbours", [1, 3, 10])
@pytest.mark.parametrize("chunk_elements", [1, 100, 1 << 24])
def test_equals_the_loop(device, neighbours, chunk_elements):
    real, fake = normal(33, 3, 0), 0.7 * normal(21, 3, 1) + 0.5
    found = precision_recall(real.to(device), fake.to(device), neighbours=neighbours, chunk_elements=chunk_elements)
    expected = by_loops(real, fake, neighbours)
    assert found == pytest.approx(expected)
    assert neighbours > 1 or 0 < min(expected) <= max(expected) < 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("seed", range(4))
def test_ties_and_duplicates_are_those_of_exact_arithmetic(device, dtype, seed):
    """Points of a coarse lattice, far from the origin: most distances tie, and many points come twice."""
    generator = torch.Generator().manual_seed(seed)
    real = (torch.randint(0, 6, (30, 3), generator=generator) + 100).to(dtype)
    fake = (torch.randint(2, 9, (25, 3), generator=generator) + 100).to(dtype)
    found = precision_recall(real.to(device), fake.to(device), neighbours=2)
    assert found == pytest.approx(by_loops(real, fake, 2))
    assert 0 < found.precision < 1


def test_a_case_by_hand():
    """Balls of 1 around 0, 1, 2, 10, 11; of 1 around 0.5 and 1.5, and of 18.5 around 20, which reaches to 1.5."""
    real = torch.tensor([[0.0], [1.0], [2.0], [10.0], [11.0]])
    fake = torch.tensor([[0.5], [1.5], [20.0]])
    assert precision_recall(real, fake, neighbours=1) == pytest.approx((2 / 3, 1.0))
    # Without the far one its ball is gone: 10 and 11 are covered by none.
    fake = torch.tensor([[0.5], [1.5], [1.0]])
    assert precision_recall(real, fake, neighbours=1) == pytest.approx((1.0, 3 / 5))


def test_sets_apart_and_sets_alike():
    features = normal(50, 8, 2)
    assert precision_recall(features, features + 1000) == (0.0, 0.0)
    assert precision_recall(features, features.flip(0)) == (1.0, 1.0)


def test_points_that_all_coincide_have_balls_without_extent():
    features = torch.full((6, 4), 123.456)
    assert precision_recall(features, features) == (1.0, 1.0)
    nudged = features.clone()
    nudged[:, 0] += 1e-3
    assert precision_recall(features, nudged) == (0.0, 0.0)


def test_dropped_modes_cost_recall_and_invented_ones_precision():
    one, other = normal(100, 4, 3), normal(100, 4, 4) + 50
    both = torch.cat([one, other])
    some = normal(200, 4, 5)
    dropped, invented = precision_recall(both, some), precision_recall(some, both)
    assert dropped.recall == pytest.approx(0.5, abs=0.05)
    assert dropped.precision > 0.8
    assert invented == (dropped.recall, dropped.precision)  # the two swap with the sets


def test_it_depends_on_where_the_features_lie_as_little_as_their_dtype_does():
    real, fake = normal(200, 16, 6), 0.8 * normal(200, 16, 7)
    expected = precision_recall(real, fake)
    assert 0.5 < expected.precision < 1
    assert precision_recall(real + 1e6, fake + 1e6) == expected
    assert precision_recall(1e-6 * real, 1e-6 * fake) == expected


def test_the_input_is_left_alone():
    real, fake = normal(20, 3, 8), normal(20, 3, 9)
    before = real.clone(), fake.clone()
    precision_recall(real, fake)
    assert torch.equal(real, before[0])
    assert torch.equal(fake, before[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(neighbours=0), "neighbours and chunk_elements must be at least 1, but got 0 and"),
        (dict(neighbours=4), "each set 5 samples, but there are 6 real and 4 generated ones"),
        (dict(fake=torch.zeros(4, 2)), r"must be \(N, D\) and \(M, D\), but got \(6, 3\) and \(4, 2\)"),
        (dict(fake=torch.full((4, 3), math.nan)), "the features of the generated images hold values that are inf"),
    ],
)
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        precision_recall(**{**dict(real=normal(6, 3, 0), fake=normal(4, 3, 1)), **change})
