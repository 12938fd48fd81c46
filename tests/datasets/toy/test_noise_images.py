"""Images of noise: their distribution, and that equal settings give equal images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm

from nda_mm.datasets import NoiseImages


@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
def test_equal_settings_give_equal_images(kind: str) -> None:
    first, again, other = (NoiseImages(kind=kind, size=4, num_images=5, seed=seed).images for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first.shape == (5, 4, 4, 3)


def test_uniform_noise_has_every_value_alike() -> None:
    counts = np.bincount(NoiseImages(size=32, num_images=100).images.ravel(), minlength=256)
    assert len(counts) == 256
    assert abs(counts / counts.mean() - 1).max() < 0.2  # 1,200 of each, so a std of 0.03


def test_gaussian_noise_is_a_clipped_normal() -> None:
    values = NoiseImages(kind="gaussian", size=32, num_images=20).images.ravel() / 255
    assert (values == 0).mean() == pytest.approx(norm.cdf(-0.5), abs=0.01)
    assert (values == 1).mean() == pytest.approx(norm.cdf(-0.5), abs=0.01)
    between = values[(values > 0.01) & (values < 0.99)]
    low, high = norm.cdf(0.01, 0.5, 1), norm.cdf(0.99, 0.5, 1)
    assert kstest((norm.cdf(between, 0.5, 1) - low) / (high - low), "uniform").statistic < 0.01


@pytest.mark.parametrize("change", [dict(kind="pink"), dict(size=0), dict(num_images=0)])
def test_bad_settings_are_refused_by_name(change: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        NoiseImages(**change)
