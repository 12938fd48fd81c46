from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nda_mm.datasets.boxes.checks import (
    BOX_FAULTS,
    FILE_FAULTS,
    UNKNOWN_CLASS,
    FaultReport,
    box_fault,
    check_policy,
    image_size,
    to_numbers,
)


@pytest.mark.parametrize(
    ("box", "fault"),
    [
        ((0, 0, 10, 8), None),
        ((-3, -3, 1, 1), None),  # a part of it is inside
        ((9, 7, 10, 8), None),  # one pixel, the last
        (None, "not four numbers"),
        ((1, 2, 3), "not four numbers"),
        ((math.nan, 0, 5, 5), "not finite"),
        ((0, 0, math.inf, 5), "not finite"),
        ((5, 0, 4, 5), "swapped corners"),
        ((0, 5, 5, 4), "swapped corners"),
        ((3, 3, 3, 3), "no width or height"),
        ((3, 3, 5, 3), "no width or height"),
        ((3, 3, 3.5, 5), "thinner than a pixel"),
        ((-5, 0, 0, 5), "outside the image"),
        ((0, -5, 5, 0), "outside the image"),
        ((10, 0, 12, 5), "outside the image"),
        ((0, 8, 5, 9), "outside the image"),
    ],
)
def test_each_fault_is_told_from_the_others(box: tuple[float, ...] | None, fault: str | None) -> None:
    assert box_fault(box, 10, 8) == fault
    assert fault is None or fault in BOX_FAULTS


@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4))
def test_what_passes_has_an_area_inside_the_image_and_a_finite_logarithm(box: list[float]) -> None:
    inside_width = min(box[2], 20) - max(box[0], 0)
    inside_height = min(box[3], 10) - max(box[1], 0)
    good = box[2] - box[0] >= 1 and box[3] - box[1] >= 1 and inside_width > 0 and inside_height > 0
    assert (box_fault(box, 20, 10) is None) == good
    if good:
        assert np.isfinite(np.log([box[2] - box[0], box[3] - box[1]])).all()


def test_numbers_as_files_give_them() -> None:
    assert to_numbers(["1", " 2.5 ", 3]) == (1.0, 2.5, 3.0)
    assert to_numbers(["nan"]) is not None
    assert to_numbers(["1", ""]) is None
    assert to_numbers([None]) is None
    assert to_numbers([[1]]) is None


def test_a_report_names_kinds_in_order_files_and_what_is_too_much_to_list() -> None:
    report = FaultReport("here")
    assert report.summary() == ""
    report.refuse(FILE_FAULTS, "x")  # nothing found, nothing raised
    report.add("unknown class", "c.xml", "'cat'")
    for number in range(25):
        report.add("no width or height", f"{number}.xml")
    report.add("no boxes", "e.xml")
    assert report.count("no width or height") == 25
    assert report.count() == 27
    assert report.lines()[0].endswith("18.xml; 19.xml; and 5 more")
    assert report.lines()[1:] == ["1 x unknown class: c.xml ('cat')", "1 x no boxes: e.xml"]
    assert report.summary().startswith("here: left out are\n  25 x no width or height: 0.xml")
    assert "no boxes" not in report.summary()  # an image without boxes is not left out
    with pytest.raises(ValueError, match=r"here cannot be used as it is \(set y to leave these out\):\n  1 x unknown"):
        report.refuse([UNKNOWN_CLASS], "y")


def test_an_unknown_policy_is_refused() -> None:
    check_policy("bad_files", "skip")
    with pytest.raises(ValueError, match=r"bad_files must be one of \('refuse', 'skip'\), but got 'ignore'"):
        check_policy("bad_files", "ignore")


class TestImageSize:
    def test_head_and_pixels_agree_and_a_cut_file_is_found_by_its_pixels_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "a.jpg"
        noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        assert image_size(path, decode=False) == image_size(path, decode=True) == (30, 40)
        path.write_bytes(path.read_bytes()[:-400])
        assert image_size(path, decode=False) == (30, 40)
        with pytest.raises(OSError, match="truncated"):
            image_size(path, decode=True)

    def test_the_size_is_that_of_the_upright_image_as_the_detectors_reader_sees_it(self, tmp_path: Path) -> None:
        import cv2

        image = Image.new("RGB", (30, 20))
        exif = Image.Exif()
        for orientation in range(1, 9):
            exif[0x0112] = orientation
            path = tmp_path / f"{orientation}.jpg"
            image.save(path, exif=exif)
            height, width = cv2.imread(str(path)).shape[:2]
            assert image_size(path, decode=False) == (width, height)

    def test_what_is_no_image_is_an_os_error(self, tmp_path: Path) -> None:
        path = tmp_path / "a.png"
        path.write_bytes(b"no image")
        with pytest.raises(OSError, match="a.png"):
            image_size(path, decode=False)
        with pytest.raises(FileNotFoundError):
            image_size(tmp_path / "absent.png", decode=True)
