"""What is wrong with a box or a file of a detection set, found before training and told in one message."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nda_mm.datasets.decoding import open_image
from nda_mm.utils.files import printable

Box = tuple[float, float, float, float]

_ORIENTATION = 0x0112  # tag of EXIF; 5 to 8 are turned by a quarter

#: What may happen to files and names that cannot be used.
POLICIES = ("refuse", "skip")

#: Kinds of faults, in the order in which they are reported.
BOX_FAULTS = (
    "not four numbers", "not finite", "swapped corners", "no width or height", "thinner than a pixel",
    "outside the image",
)  # fmt: skip
FILE_FAULTS = (
    "missing image", "unreadable image", "wrong image size", "missing annotation", "unreadable annotation",
)  # fmt: skip
UNKNOWN_CLASS = "unknown class"
NO_BOXES = "no boxes"


def box_fault(box: Sequence[float] | None, width: float, height: float) -> str | None:
    """Say why a detector cannot learn from a box.

    A box without width or height is not harmless: the logarithm of its size is infinite, and so is the loss.

    Args:
        box: Left, top, right, bottom in pixels; None stands for what :func:`to_numbers` could not read.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        One of ``BOX_FAULTS``, or None for a good box; one that sticks out of the image is good where a part is inside.

    Example:
        >>> box_fault((1, 1, 5, 5), 10, 10) is None
        True
        >>> box_fault((5, 1, 1, 5), 10, 10), box_fault((1, 1, 1, 5), 10, 10), box_fault((10, 1, 12, 5), 10, 10)
        ('swapped corners', 'no width or height', 'outside the image')
    """
    if box is None or len(box) != 4:
        return "not four numbers"
    if not all(map(math.isfinite, box)):
        return "not finite"
    left, top, right, bottom = box
    if right < left or bottom < top:
        return "swapped corners"
    if right == left or bottom == top:
        return "no width or height"
    if right - left < 1 or bottom - top < 1:
        return "thinner than a pixel"
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return "outside the image"
    return None


def to_numbers(values: Iterable[object]) -> tuple[float, ...] | None:
    """The values as floats, or None if one is no number, for :func:`box_fault` to name.

    Example:
        >>> to_numbers(["1", "2.5"]), to_numbers(["1", None])
        ((1.0, 2.5), None)
    """
    try:
        return tuple(float(value) for value in values)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


@dataclass
class FaultReport:
    """Everything found in one set, by kind; each entry is the name of a file with what is wrong in it.

    Args:
        source: What was looked at, for the messages.
    """

    source: str
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, file: str, detail: str = "") -> None:
        """Note one fault.

        Args:
            kind: One of the kinds above.
            file: Name of the file.
            detail: What stands there.
        """
        self.found.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def count(self, *kinds: str) -> int:
        """Number of faults of these kinds; of all if none is named."""
        return sum(len(self.found.get(kind, ())) for kind in (kinds or self.found))

    def lines(self, kinds: Iterable[str] | None = None, most: int = 20) -> list[str]:
        """One line a kind, ``N x kind: file (detail); file (detail); ...``.

        Args:
            kinds: Those to list. Default: all found.
            most: Entries of a kind before the rest are only counted.

        Returns:
            The lines, without those of kinds that were not found.
        """
        order = [*BOX_FAULTS, *FILE_FAULTS, UNKNOWN_CLASS, NO_BOXES]
        chosen = [kind for kind in order if kind in self.found and (kinds is None or kind in set(kinds))]
        lines = []
        for kind in chosen:
            entries = self.found[kind]
            rest = f"; and {len(entries) - most} more" if len(entries) > most else ""
            lines.append(f"{len(entries)} x {kind}: {'; '.join(entries[:most])}{rest}")
        return lines

    def refuse(self, kinds: Iterable[str], option: str) -> None:
        """Raise if a fault of these kinds was found.

        Args:
            kinds: Those that are not accepted.
            option: The setting that would leave them out instead, as a user writes it.

        Raises:
            ValueError: With every kind, file and detail.
        """
        lines = self.lines(kinds)
        if lines:
            raise ValueError(
                "\n  ".join([f"{self.source} cannot be used as it is (set {option} to leave these out):", *lines])
            )

    def summary(self) -> str:
        """What was left out, as one message; empty if there was nothing."""
        lines = self.lines([*BOX_FAULTS, *FILE_FAULTS, UNKNOWN_CLASS])
        return "\n  ".join([f"{self.source}: left out are", *lines]) if lines else ""


def check_policy(name: str, value: str) -> None:
    """Refuse a policy that does not exist.

    Args:
        name: Of the setting.
        value: 'refuse' or 'skip'.

    Raises:
        ValueError: If it is neither.
    """
    if value not in POLICIES:
        raise ValueError(f"{name} must be one of {POLICIES}, but got {value!r}")


def image_size(path: str | Path, *, decode: bool) -> tuple[int, int]:
    """Width and height of an image file, read from its head or, with ``decode``, after reading all of it.

    Args:
        path: The file.
        decode: Whether to decode the pixels too, which finds cut-off files and costs milliseconds instead of
            microseconds.

    Returns:
        Width, height in pixels of the upright image: readers obey the EXIF orientation.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is no image, or damaged.
    """
    from PIL import Image

    try:
        with open_image(path) as image:
            if decode:
                image.load()
            width, height = image.size
            return (height, width) if image.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)
    except (SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:  # what Pillow's readers raise
        raise OSError(str(error)) from error
