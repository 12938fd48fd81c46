"""Counting the points of modes, against counting one by one and against what a Gaussian is known to have outside."""

from __future__ import annotations

import math

import pytest
import torch

from nda_mm.datasets.toy.toy_gaussians import ring_centres
from nda_mm.evaluation import mode_coverage

CENTRES = torch.from_numpy(ring_centres(8, 1.0))


def test_equals_counting_one_by_one() -> None:
    points = 0.9 * torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = [0] * 8
    for across, up in points.tolist():
        for mode, (x, y) in enumerate(CENTRES.tolist()):
            counts[mode] += math.hypot(across - x, up - y) <= 0.1 * 2
    found = mode_coverage(points, CENTRES, 0.1, within=2)
    assert found.shares == pytest.approx([count / 400 for count in counts])
    assert found.outside == pytest.approx(1 - sum(counts) / 400)
    assert 0 < found.outside < 1


@pytest.mark.parametrize("within", [1.0, 2.0, 3.0])
def test_of_the_true_mixture_as_much_lies_outside_as_it_must(within: float) -> None:
    draw = torch.Generator().manual_seed(1)
    count = 40_000
    mode = torch.randint(8, (count,), generator=draw)
    points = CENTRES[mode] + 0.05 * torch.randn(count, 2, generator=draw, dtype=torch.float64)
    expected = math.exp(-(within**2) / 2)
    found = mode_coverage(points, CENTRES, 0.05, within=within)
    assert found.outside == pytest.approx(expected, abs=4 * math.sqrt(expected / count))
    assert found.covered == 8


def test_a_mode_that_is_given_up_is_not_covered_and_what_is_not_finite_lies_outside() -> None:
    points = CENTRES[torch.arange(1000) % 7]
    found = mode_coverage(points, CENTRES, 0.05)
    assert (found.outside, found.covered, found.shares[7]) == (0.0, 7, 0.0)
    broken = torch.cat([points, torch.full((1000, 2), float("nan"), dtype=torch.float64)])
    assert mode_coverage(broken, CENTRES, 0.05).outside == 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(N, 2\) and \(M, 2\).* but got \(3, 1\)"):
        mode_coverage(torch.zeros(3, 1), CENTRES, 0.1)
    with pytest.raises(ValueError, match="deviation and within must be above 0, but got 0 and 3"):
        mode_coverage(torch.zeros(3, 2), CENTRES, 0)
    with pytest.raises(ValueError, match="modes of radius 0.6 around these centres overlap"):
        mode_coverage(torch.zeros(3, 2), CENTRES, 0.2)
