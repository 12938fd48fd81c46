"""Checks of images and boxes that mmdet's readers do not make, with one report of everything that was found."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from nda_mm.datasets.decoding import image_size
from nda_mm.datasets.report import FileReport
from nda_mm.functional.checks import check_choice
from nda_mm.utils.files import check_data_root

FILE_FAULTS = (
    "missing image", "unreadable image", "wrong image size", "missing annotation", "unreadable annotation",
)  # fmt: skip
UNKNOWN_CLASS = "unknown class"
BAD_BOX = "unusable box"
NO_BOXES = "no boxes"


def is_good_box(box: Sequence[Any] | None, width: float, height: float) -> bool:
    """Whether a detector can learn from a box; the loss of one without width or height is infinite.

    Args:
        box: Left, top, right, bottom in pixels.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        Whether these are four finite numbers of a box that is at least a pixel wide and high and partly in the image.

    Example:
        >>> is_good_box((1, 1, 5, 5), 10, 10), is_good_box((5, 1, 1, 5), 10, 10), is_good_box((10, 1, 12, 5), 10, 10)
        (True, False, False)
    """
    try:
        left, top, right, bottom = (float(value) for value in box or ())
    except (TypeError, ValueError, OverflowError):
        return False
    is_finite = all(map(math.isfinite, (left, top, right, bottom)))
    has_area = right - left >= 1 and bottom - top >= 1
    return is_finite and has_area and right > 0 and bottom > 0 and left < width and top < height


def check_image(
    report: FileReport, path: Path, stated: tuple[Any, Any], *, decode: bool = False
) -> tuple[int, int] | None:
    """Width and height of an image, or None, with the fault in the report, if it cannot be used.

    Args:
        report: Gets the fault.
        path: The file.
        stated: Width and height in the annotation; 0 or None where it has none.
        decode: Whether all of the file is read, not only its header.
    """
    try:
        size = image_size(path, decode=decode)
    except FileNotFoundError:
        report.add("missing image", path.name)
        return None
    except OSError as error:
        report.add("unreadable image", path.name, str(error))
        return None
    if all(stated) and stated != size:
        report.add("wrong image size", path.name, f"{stated[0]}x{stated[1]}, but the image is {size[0]}x{size[1]}")
        return None
    return size


class BoxChecks:
    """Mixin before a data set of mmdet's: checks all files and boxes when the annotations are loaded."""

    report: FileReport
    ann_file: str

    def __init__(
        self, *, bad_files: str = "refuse", unknown_classes: str = "refuse", decode: bool = False, **kwargs: Any
    ) -> None:
        check_choice(bad_files, "bad_files", ("refuse", "skip"))
        check_choice(unknown_classes, "unknown_classes", ("refuse", "skip"))
        if kwargs.get("data_root") is not None:
            check_data_root(kwargs["data_root"])
        self.bad_files = bad_files
        self.unknown_classes = unknown_classes
        self.decode = decode
        super().__init__(**kwargs)

    def read_checked(self) -> list[dict]:
        """Read the annotations, and add what is wrong with them to ``report``."""
        return super().load_data_list()  # type: ignore[misc]

    def load_data_list(self) -> list[dict]:
        """Read the annotations, then raise or warn."""
        self.report = FileReport()
        data_list = self.read_checked()
        if self.bad_files == "refuse":
            self._refuse("has bad files (bad_files='skip' leaves them out)", FILE_FAULTS)
        if self.unknown_classes == "refuse":
            self._refuse("has unknown classes (unknown_classes='skip' leaves them out)", [UNKNOWN_CLASS])
        if not data_list:
            raise ValueError("\n  ".join([f"{self.ann_file}: no image can be used", *self.report.lines()]))
        if lines := self.report.lines([*FILE_FAULTS, UNKNOWN_CLASS, BAD_BOX]):
            print_log("\n  ".join([f"{self.ann_file}: left out are", *lines]), "current", logging.WARNING)
        return data_list

    def _refuse(self, what: str, kinds: Collection[str]) -> None:
        if lines := self.report.lines(kinds):
            raise ValueError("\n  ".join([f"{self.ann_file} {what}:", *lines]))
