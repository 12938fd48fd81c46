from __future__ import annotations

import math

import numpy as np
import pytest

from nda_mm.datasets.boxes.checks import is_good_box


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ((0, 0, 10, 8), True),
        ((-3, -3, 1, 1), True),  # a part of it is inside
        ((9, 7, 10, 8), True),  # one pixel, the last
        (None, False),
        ((1, 2, 3), False),
        (("here", 2, 3, 4), False),
        ((math.nan, 0, 5, 5), False),
        ((0, 0, math.inf, 5), False),
        ((5, 0, 4, 5), False),
        ((3, 3, 5, 3), False),
        ((3, 3, 3.5, 5), False),
        ((-5, 0, 0, 5), False),
        ((0, -5, 5, 0), False),
        ((10, 0, 12, 5), False),
        ((0, 8, 5, 9), False),
    ],
)
def test_good_boxes(box: tuple | None, good: bool) -> None:
    assert is_good_box(box, 10, 8) is good


def test_what_passes_has_an_area_inside_the_image() -> None:
    for box in np.random.default_rng(0).uniform(-30, 30, (2000, 4)).tolist():
        inside_width = min(box[2], 20) - max(box[0], 0)
        inside_height = min(box[3], 10) - max(box[1], 0)
        good = box[2] - box[0] >= 1 and box[3] - box[1] >= 1 and inside_width > 0 and inside_height > 0
        assert is_good_box(box, 20, 10) == good
