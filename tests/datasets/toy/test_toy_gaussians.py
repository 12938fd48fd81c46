"""Points on a ring: their distribution, their independence, their repeatability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nda_mm.datasets import ToyGaussians


def points_of(data: ToyGaussians) -> tuple[np.ndarray, np.ndarray]:
    items = [data.get_data_info(index) for index in range(len(data))]
    return np.stack([item["gt"].reshape(2) for item in items]), np.array([item["gt_label"] for item in items])


def test_modes_are_equal_round_gaussians_on_the_ring() -> None:
    points, modes = points_of(ToyGaussians(modes=5, radius=2.0, std=0.1, num_points=5000))
    assert stats.chisquare(np.bincount(modes, minlength=5)).pvalue > 0.01
    for mode in range(5):
        angle = 2 * np.pi * mode / 5
        left = (points[modes == mode] - 2.0 * np.array([np.cos(angle), np.sin(angle)])) / 0.1
        assert stats.kstest(left.ravel(), "norm").pvalue > 0.001
        assert abs(np.corrcoef(left.T)[0, 1]) < 4 / np.sqrt(len(left))


def test_equal_settings_give_equal_points_and_splits_and_seeds_others() -> None:
    first, again = (points_of(ToyGaussians(num_points=50))[0] for _ in range(2))
    assert np.array_equal(first, again)
    others = [ToyGaussians(num_points=50, split="test"), ToyGaussians(num_points=50, seed=1)]
    assert not any(np.isin(points_of(other)[0], first).any() for other in others)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        ToyGaussians(split="val")
