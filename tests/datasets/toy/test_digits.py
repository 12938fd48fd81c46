from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_erosion
from sklearn.datasets import load_digits

from nda_mm.datasets import DigitEdges, Digits, Numerosity
from nda_mm.datasets.decoding import resize_squares
from nda_mm.datasets.toy.digits import outline


def test_pixels_are_those_of_scikit_learn() -> None:
    digits = Digits(split="all", size=8, channels=1)
    expected = [[[round(value * 255 / 16) for value in row] for row in image] for image in load_digits().images]
    np.testing.assert_array_equal(digits.images[..., 0], expected)
    np.testing.assert_array_equal(digits.labels, load_digits().target)
    large = np.repeat(resize_squares(digits.images, 32), 3, axis=-1)  # Pillow's filter, see test_decoding.py
    np.testing.assert_array_equal(Digits(split="all", size=32).images, large)


def test_split_is_fixed_disjoint_and_stratified() -> None:
    train, test, everything = (Digits(split=split, size=8) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1352, 445, 1797)
    rows = {split: [image.tobytes() for image in data.images] for split, data in (("train", train), ("test", test))}
    assert sorted(rows["train"] + rows["test"]) == sorted(image.tobytes() for image in everything.images)
    assert not set(rows["train"]) & set(rows["test"])
    counts = np.bincount(everything.labels)
    np.testing.assert_array_equal(np.bincount(test.labels), counts // 4)
    np.testing.assert_array_equal(np.bincount(train.labels), counts - counts // 4)


def by_scipy(image: np.ndarray) -> np.ndarray:
    ink = image >= 128
    eroded = [binary_erosion(ink[..., channel]) for channel in range(image.shape[2])]
    return 255 * (ink & ~np.stack(eroded, axis=-1)).astype(np.uint8)


def test_the_outline_is_what_scipys_erosion_takes_away() -> None:
    draw = np.random.default_rng(0)
    for shape in ((5, 7, 3), (1, 1, 1), (8, 8, 3)):
        image = draw.integers(64, 256, shape, dtype=np.uint8)
        assert np.array_equal(outline(image), by_scipy(image))


def test_pairs_are_the_digits_with_their_outlines() -> None:
    pairs, digits = DigitEdges(split="test", size=24, channels=1), Digits(split="test", size=24, channels=1)
    assert len(pairs) == len(digits) == 445
    for index in (0, 7, 444):
        pair, digit = pairs[index], digits[index]
        assert np.array_equal(pair["img_digit"], digit["gt"]) and pair["gt_label"] == digit["gt_label"]
        assert np.array_equal(pair["img_edge"], by_scipy(digit["gt"]))
        assert set(pair) == {
            "img_edge", "img_digit", "img_edge_channel_order", "img_digit_channel_order", "gt_label", "sample_idx",
        }  # fmt: skip


def digits_on(image: np.ndarray, known: set[bytes]) -> list[tuple[int, int]]:
    """Corners of all 8x8 squares of an image that are a known digit."""
    squares = np.lib.stride_tricks.sliding_window_view(image, (8, 8))
    return [corner for corner in np.ndindex(*squares.shape[:2]) if squares[corner].tobytes() in known]


def test_every_image_has_its_number_of_whole_digits_of_its_split() -> None:
    known = {image.tobytes() for image in Digits(split="test", size=8, channels=1).images[..., 0]}
    data = Numerosity(split="test", counts=[0, 1, 2, 3], num_images=40, channels=1, size=24)
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
    ("kind", "settings"),
    [
        (Digits, dict(size=4)),
        (Digits, dict(channels=2)),
        (Numerosity, dict(split="all")),
        (Numerosity, dict(counts=[])),
        (Numerosity, dict(counts=[2, 2])),
        (Numerosity, dict(counts=[5])),
        (Numerosity, dict(size=16)),
    ],
)
def test_bad_settings_are_refused(kind: type, settings: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)
