"""Checks of images and boxes that mmdet's readers do not make, with one report of everything that was found."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.logging import print_log

from nda_mm.datasets.decoding import image_size
from nda_mm.utils.files import check_data_root, printable
from nda_mm.utils.messages import shorten

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


@dataclass
class FaultReport:
    """Everything found in one set, by kind; each entry is the name of a file and what is wrong in it."""

    source: str
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, file: str, detail: str = "") -> None:
        """Add one fault."""
        self.found.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def check_image(self, path: Path, stated: tuple[Any, Any], *, decode: bool) -> tuple[int, int] | None:
        """Width and height of an image, or None, with the fault added, if it cannot be used.

        Args:
            path: The file.
            stated: Width and height that the annotation states; 0 or None where it does not.
            decode: Whether all of the file is read, not only its header.
        """
        try:
            size = image_size(path, decode=decode)
        except FileNotFoundError:
            self.add("missing image", path.name)
        except OSError as error:
            self.add("unreadable image", path.name, str(error))
        else:
            if not all(stated) or stated == size:
                return size
            self.add("wrong image size", path.name, f"{stated[0]}x{stated[1]}, but the image is {size[0]}x{size[1]}")
        return None

    def lines(self, kinds: Collection[str] | None = None) -> list[str]:
        """``N x kind: file (detail); file (detail); ...`` for each of these kinds that was found. Default: all."""
        chosen = {kind: files for kind, files in self.found.items() if kinds is None or kind in kinds}
        return [f"{len(files)} x {kind}: {shorten(files, 20, '; ')}" for kind, files in chosen.items()]


class BoxChecks:
    """Mixin before a data set of mmdet's: checks all files and boxes when the annotations are loaded.

    Args:
        bad_files: See the classes.
        unknown_classes: See the classes.
        decode: See the classes.
        kwargs: Of mmdet's class.
    """

    report: FaultReport

    def __init__(
        self, *, bad_files: str = "refuse", unknown_classes: str = "refuse", decode: bool = False, **kwargs: Any
    ) -> None:
        for name, value in (("bad_files", bad_files), ("unknown_classes", unknown_classes)):
            if value not in ("refuse", "skip"):
                raise ValueError(f"{name} must be 'refuse' or 'skip', but got {value!r}")
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
        source = str(self.ann_file)  # type: ignore[attr-defined]
        self.report = FaultReport(source)
        data_list = self.read_checked()
        if self.bad_files == "refuse" and (lines := self.report.lines(FILE_FAULTS)):
            raise ValueError("\n  ".join([f"{source} has bad files (bad_files='skip' leaves them out):", *lines]))
        if self.unknown_classes == "refuse" and (lines := self.report.lines([UNKNOWN_CLASS])):
            raise ValueError(
                "\n  ".join([f"{source}: add these to the classes, or set unknown_classes='skip':", *lines])
            )
        if not data_list:
            raise ValueError("\n  ".join([f"{source}: no image can be used.", *self.report.lines()]))
        if lines := self.report.lines([*FILE_FAULTS, UNKNOWN_CLASS, BAD_BOX]):
            print_log("\n  ".join([f"{source}: left out are", *lines]), "current", logging.WARNING)
        return data_list
