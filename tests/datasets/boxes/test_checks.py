from __future__ import annotations

import math

import pytest

from nda_mm.datasets.boxes.checks import is_good_box


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ((0, 0, 10, 8), True),
        ((-3, -3, 1, 1), True),  # a part of it is inside
        ((9, 7, 10, 8), True),  # one pixel, the last
        (None, False),
        (("here", 2, 3, 4), False),
        ((math.nan, 0, 5, 5), False),
        ((0, 0, math.inf, 5), False),
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
