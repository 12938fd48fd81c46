from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nda_mm.datasets.boxes.checks import UNKNOWN_CLASS, FaultReport, is_good_box


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


@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4))
def test_what_passes_has_an_area_inside_the_image_and_a_finite_logarithm(box: list[float]) -> None:
    inside_width = min(box[2], 20) - max(box[0], 0)
    inside_height = min(box[3], 10) - max(box[1], 0)
    good = box[2] - box[0] >= 1 and box[3] - box[1] >= 1 and inside_width > 0 and inside_height > 0
    assert is_good_box(box, 20, 10) == good
    if good:
        assert np.isfinite(np.log([box[2] - box[0], box[3] - box[1]])).all()


def test_a_report_lists_kinds_and_files_up_to_a_limit() -> None:
    report = FaultReport("here")
    assert report.lines() == []
    report.add(UNKNOWN_CLASS, "c.xml", "'cat'")
    for number in range(25):
        report.add("unusable box", f"{number}.xml")
    assert report.lines([UNKNOWN_CLASS]) == ["1 x unknown class: c.xml ('cat')"]
    assert report.lines()[1].startswith("25 x unusable box: 0.xml; 1.xml; ")
    assert report.lines()[1].endswith("19.xml and 5 more")
