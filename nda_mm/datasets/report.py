"""One report of everything that was found in the files of a data set."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from nda_mm.utils.files import printable
from nda_mm.utils.messages import shorten


@dataclass
class FileReport:
    """Bad files by kind, each with what is wrong with it, and notes on what was written.

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
        """Add one file."""
        self.found.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def lines(self, kinds: Collection[str] | None = None, limit: int = 20) -> list[str]:
        """The notes, and one line for each of these kinds (default: all) that names up to ``limit`` files."""
        chosen = {kind: files for kind, files in self.found.items() if kinds is None or kind in kinds}
        return self.notes + [f"{len(files)} x {kind}: {shorten(files, limit, '; ')}" for kind, files in chosen.items()]
