"""The embedded OOD data sets: what each kind does to a digit, and letters made as the digits were."""

from __future__ import annotations

import numpy as np
import pytest

from nda_mm.datasets import Digits, OODDigits
from nda_mm.datasets.toy.ood_digits import LETTERS, draw_letters

pytest.importorskip("sklearn")


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


class TestLetters:
    def test_are_made_of_ink_counted_as_the_digits_are(self) -> None:
        from sklearn.datasets import load_digits

        ink, labels = draw_letters(1200)
        real = load_digits().images
        assert set(np.unique(ink)) == set(np.unique(real)) == set(range(17))
        assert np.bincount(labels).tolist() == [100] * len(LETTERS)
        # About as much ink, and as many gray values between paper and ink.
        assert ink.mean() == pytest.approx(real.mean(), rel=0.2)
        between = [((each > 0) & (each < 16)).mean() for each in (ink, real)]
        assert between[0] == pytest.approx(between[1], rel=0.35)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="kind"):
        OODDigits(kind="cats")
