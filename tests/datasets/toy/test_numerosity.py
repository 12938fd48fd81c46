"""Images with a number of digits: the number is right, by another way of counting."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from nda_mm.datasets import Digits, Numerosity


def digits_on(image: np.ndarray, known: dict[bytes, int]) -> list[tuple[int, int]]:
    """Corners of all 8x8 squares of an image that are a known digit."""
    found = []
    for top in range(image.shape[0] - 7):
        for left in range(image.shape[1] - 7):
            if image[top : top + 8, left : left + 8].tobytes() in known:
                found.append((top, left))
    return found


def test_every_image_has_its_number_of_whole_digits_of_its_split() -> None:
    split = "test"
    known = {image.tobytes(): 1 for image in Digits(split=split, size=8, channels=1).images[..., 0]}
    data = Numerosity(split=split, counts=[0, 1, 2, 3], num_images=40, channels=1, size=24)
    assert np.bincount(data.labels).tolist() == [10] * 4
    for image, count in zip(data.images[..., 0], data.labels):
        places = digits_on(image, known)
        assert len(places) == count
        left = image.copy()
        for top, start in places:
            left[top : top + 8, start : start + 8] = 0
        assert not left.any()  # and nothing else


def test_equal_settings_give_equal_images() -> None:
    first, again = (Numerosity(counts=[1, 3], num_images=20) for _ in range(2))
    assert np.array_equal(first.images, again.images) and np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.images, Numerosity(counts=[1, 3], num_images=20, seed=1).images)


@pytest.mark.parametrize(
    "settings", [dict(split="all"), dict(counts=[]), dict(counts=[2, 2]), dict(counts=[5]), dict(size=16)]
)
def test_bad_settings_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Numerosity(**settings)
