"""The embedded OOD data sets: noise, what each kind does to a digit, and letters made as the digits were."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest, norm
from sklearn.datasets import load_digits

from nda_mm.datasets import Digits, NoiseImages, OODDigits
from nda_mm.datasets.toy.ood_sets import LETTERS, draw_letters


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


@pytest.mark.parametrize("data_set", [NoiseImages, OODDigits])
def test_an_unknown_kind_is_refused(data_set: type) -> None:
    with pytest.raises(ValueError, match="kind"):
        data_set(kind="cats")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(split="test", size=16)


@pytest.mark.parametrize("kind", ["rotated", "inverted", "blurred", "letters"])
def test_no_image_is_the_digit_and_all_are_the_same_every_time(digits: Digits, kind: str) -> None:
    first, again = (OODDigits(kind=kind, size=16) for _ in range(2))
    np.testing.assert_array_equal(first.images, again.images)
    assert first.images.shape == digits.images.shape
    assert not (first.images == digits.images).all(axis=(1, 2, 3)).any()


def test_a_rotated_digit_is_turned_to_the_left_or_the_right(digits: Digits) -> None:
    found = OODDigits(kind="rotated", size=16)
    to_left, to_right = (
        np.array([(image == np.rot90(digit, turns)).all() for image, digit in zip(found.images, digits.images)])
        for turns in (1, 3)
    )
    assert (to_left | to_right).all()
    assert 0.4 < to_left.mean() < 0.6
    np.testing.assert_array_equal(found.labels, digits.labels)


def test_an_inverted_digit_adds_up_to_white(digits: Digits) -> None:
    found = OODDigits(kind="inverted", size=16)
    assert (found.images.astype(int) + digits.images == 255).all()


def test_letters_are_made_of_ink_counted_as_the_digits_are() -> None:
    ink, labels = draw_letters(1200)
    real = load_digits().images
    assert set(np.unique(ink)) == set(np.unique(real)) == set(range(17))
    assert np.bincount(labels).tolist() == [100] * len(LETTERS)
    # About as much ink, and as many gray values between paper and ink.
    assert ink.mean() == pytest.approx(real.mean(), rel=0.2)
    between = [((each > 0) & (each < 16)).mean() for each in (ink, real)]
    assert between[0] == pytest.approx(between[1], rel=0.35)
