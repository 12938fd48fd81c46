"""Progress display and reports of bad files for data sets."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass, field
from typing import TypeVar

from mmengine.logging import print_log

from nda_mm.utils.files import printable
from nda_mm.utils.messages import Progress, shorten

Item = TypeVar("Item")


def track(items: Iterable[Item], what: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Yield items while showing progress, speed and remaining time on stderr.

    Args:
        items: Items to yield.
        what: Description of the task.
        unit: Unit of the items, in the plural.
        total: Number of items, if ``items`` has no length.

    Example:
        >>> [2 * number for number in track([1, 2], "doubling", "numbers")]
        [2, 4]
    """
    if isinstance(items, Sized):
        total = len(items)
    with Progress(what, total or 0, unit) as progress:
        for number, item in enumerate(items, 1):
            yield item
            progress.update(number)


@dataclass
class FileReport:
    """Report of bad files, grouped by kind of fault, with notes on what was written.

    Example:
        >>> report = FileReport(notes=["train.txt: 2 images"])
        >>> report.add("cannot be read", "a.png", "cut off")
        >>> print("\\n".join(report.lines()))
        train.txt: 2 images
        1 x cannot be read: a.png (cut off)
    """

    notes: list[str] = field(default_factory=list)
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, file: str, detail: str = "") -> None:
        """Add a bad file."""
        self.found.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def lines(self, kinds: Collection[str] | None = None, limit: int = 20) -> list[str]:
        """Return the notes, and one line for each of these kinds (default: all) that names up to ``limit`` files."""
        chosen = {kind: files for kind, files in self.found.items() if kinds is None or kind in kinds}
        return self.notes + [f"{len(files)} x {kind}: {shorten(files, limit, '; ')}" for kind, files in chosen.items()]


def list_bad_files(bad: Sequence[tuple[str, str]], what: str) -> str:
    """List bad files and their reasons, one per line, to append to a line of a report; '' if there are none.

    Example:
        >>> print("checked" + list_bad_files([("a.png", "cut off")], "cannot be read"))
        checked
        1 x cannot be read:
          a.png: cut off
    """
    return f"\n{len(bad)} x {what}:" + _lines(bad) if bad else ""


def refuse_or_warn(what: str, bad: Sequence[tuple[str, str]], total: int, max_bad: float) -> None:
    """Raise if a folder has too many bad files; otherwise warn about them.

    Args:
        what: Description of the files and their fault.
        bad: Pairs of (file, reason).
        total: Number of files, at least 1.
        max_bad: Largest accepted share of bad files, in [0, 1].

    Raises:
        ValueError: If the share is larger, or all files are bad.
    """
    message = f"{len(bad)} of {total} {what}"
    if len(bad) == total or len(bad) > max_bad * total:
        raise ValueError(f"{message}, more than max_bad={max_bad:g} allows:{_lines(bad)}\nRemove or replace them.")
    if bad:
        print_log(f"{message} and are left out:{_lines(bad)}", logger="current", level=logging.WARNING)


def _lines(bad: Sequence[tuple[str, str]]) -> str:
    return "".join(f"\n  {name}: {reason}" for name, reason in bad)
