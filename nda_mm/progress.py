"""How far something is that takes long: one line in its place on a terminal, else a line every few seconds."""

from __future__ import annotations

import datetime
import sys
import time
from types import TracebackType

from nda_mm.compat.cpu_distributed import launched_rank

__all__ = ["Progress"]


class Progress:
    """Says on stderr what is being done, how much of it is done, how fast, and how long it will take.

    Whatever ends within ``seconds`` says nothing. Of several processes the first one speaks.

    Args:
        what: What is being done.
        total: Number of items, at least 1.
        unit: What they are, in the plural.
        seconds: Between two lines. Defaults to None: 0.5 on a terminal, where they take each other's place, else 3.

    Example:
        >>> with Progress("decoding", total=2, unit="images") as progress:
        ...     progress.update(1)
        ...     progress.update(2)
    """

    def __init__(self, what: str, total: int, unit: str, seconds: float | None = None) -> None:
        self.what, self.total, self.unit = what, total, unit
        self._in_place = sys.stderr.isatty()
        self._seconds = seconds if seconds is not None else 0.5 if self._in_place else 3.0
        self._silent = launched_rank() != 0
        self._started = self._spoke = time.monotonic()

    def update(self, done: int) -> None:
        """Take note that so many items are done."""
        now = time.monotonic()
        if self._silent or now - self._spoke < self._seconds:
            return
        self._spoke = now
        rate = done / max(now - self._started, 1e-6)
        left = f", {eta(self.total - done, rate)} left" if rate and done < self.total else ""
        line = f"{self.what}: {done:,} of {self.total:,} {self.unit}, {rate:.3g} a second{left}"
        print(f"\r{line}\033[K" if self._in_place else line, end="" if self._in_place else "\n", file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """Leave the line."""
        if self._in_place and self._spoke > self._started:
            print(file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()


def eta(items: int, rate: float) -> str:
    """The time that items take at a rate per second, as ``H:MM:SS``.

    Example:
        >>> eta(90, 1.5)
        '0:01:00'
    """
    return str(datetime.timedelta(seconds=round(items / rate)))
