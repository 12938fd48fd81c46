"""Outlines of digits, against a loop over pixels."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn")

from nda_mm.datasets import DigitEdges, Digits
from nda_mm.datasets.toy.digit_edges import outline


def by_loop(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    edges = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if image[row, column, 0] < 128:
                continue
            around = [(row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)]
            inside = [0 <= r < height and 0 <= c < width and image[r, c, 0] >= 128 for r, c in around]
            edges[row, column] = 0 if all(inside) else 255
    return edges


@pytest.mark.parametrize("shape", [(5, 7, 3), (1, 1, 1), (8, 8, 1)])
def test_the_outline_is_the_loops(shape: tuple[int, int, int]) -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        image = np.repeat(draw.integers(0, 256, (*shape[:2], 1), dtype=np.uint8), shape[2], axis=2)
        assert np.array_equal(outline(image), by_loop(image))


def test_a_filled_square_has_its_border() -> None:
    image = np.zeros((6, 6, 1), dtype=np.uint8)
    image[1:5, 1:5] = 128
    expected = np.zeros((6, 6), dtype=np.uint8)
    expected[1:5, 1:5] = 255
    expected[2:4, 2:4] = 0
    assert np.array_equal(outline(image)[..., 0], expected)
    image[1:5, 1:5] = 127
    assert not outline(image).any()


def test_pairs_are_the_digits_with_their_outlines() -> None:
    pairs, digits = DigitEdges(split="test", size=24, channels=1), Digits(split="test", size=24, channels=1)
    assert len(pairs) == len(digits) == 445
    for index in (0, 7, 444):
        pair, digit = pairs[index], digits[index]
        assert np.array_equal(pair["img_digit"], digit["gt"]) and pair["gt_label"] == digit["gt_label"]
        assert np.array_equal(pair["img_edge"], by_loop(digit["gt"]))
        assert set(pair) == {
            "img_edge", "img_digit", "img_edge_channel_order", "img_digit_channel_order", "gt_label", "sample_idx",
        }  # fmt: skip
    again = DigitEdges(split="test", size=24, channels=1)
    assert all(np.array_equal(pairs[i]["img_edge"], again[i]["img_edge"]) for i in range(445))


def test_every_digit_has_an_outline_with_something_inside() -> None:
    pairs = DigitEdges(split="all")
    shares = [(pairs[i]["img_edge"] > 0).mean() for i in range(0, len(pairs), 10)]
    filled = [(pairs[i]["img_digit"] >= 128).mean() for i in range(0, len(pairs), 10)]
    assert min(shares) > 0.03 and all(edge < ink for edge, ink in zip(shares, filled, strict=True))


def test_it_goes_through_the_hosts_pipeline_in_the_order_of_networks() -> None:
    pytest.importorskip("mmagic")
    from mmengine.registry import DefaultScope

    names = ["img_edge", "img_digit"]
    with DefaultScope.overwrite_default_scope("mmagic"):
        pairs = DigitEdges(split="test", pipeline=[dict(type="PackInputs", keys=names, data_keys=names)])
        packed = pairs[3]
    for name in names:
        image = pairs.get_data_info(3)[name]
        for tensor in (packed["inputs"][name], packed["data_samples"].get(name)):
            assert np.array_equal(tensor.numpy(), image.transpose(2, 0, 1))
