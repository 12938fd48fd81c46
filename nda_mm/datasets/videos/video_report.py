"""What was found in a folder of videos, told in one message."""

from __future__ import annotations

from dataclasses import dataclass, field

from nda_mm.utils.files import printable

#: Why a video is in none of the lists that were written, or not in all of its own.
UNREADABLE, SHORT, MISSING = "cannot be read", "too short, left out of training lists", "listed but not there"
SPACE, TWICE, UNLISTED = "space in the name, which the lists cannot hold", "there twice", "in no list"
UNLISTED_CLASS = "class in no list"


@dataclass
class VideoReport:
    """What was listed, and what was left out and why."""

    listed: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, file: str, detail: str = "") -> None:
        """Note one file."""
        self.left_out.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def lines(self, most: int | None = 20) -> list[str]:
        """One line for each list and note, and for each kind of what was left out; of its files, the first ``most``."""
        lines = [f"{path}: {count} videos" for path, count in self.listed.items()] + self.notes
        for kind, files in self.left_out.items():
            rest = "" if most is None or len(files) <= most else f"; and {len(files) - most} more"
            lines.append(f"{len(files)} x {kind}: {'; '.join(files[:most])}{rest}")
        return lines
