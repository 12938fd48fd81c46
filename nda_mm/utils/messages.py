"""Messages for users: shortened lists, one-line errors and progress."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager

from .processes import launched_rank

__all__ = ["Progress", "describe_error", "eta", "shorten"]


def shorten(names: Iterable[object], limit: int = 4, separator: str = ", ") -> str:
    """Join the first few names and count the rest.

    Example:
        >>> shorten(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    listed = [str(name) for name in names]
    if not listed:
        return "none"
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return separator.join(listed[:limit]) + more


def describe_error(error: BaseException) -> str:
    """Describe an exception in one line: its class and the first line of its message.

    Example:
        >>> describe_error(ValueError("first line\\nsecond line"))
        'ValueError: first line'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


class Progress(AbstractContextManager):
    """Print progress, speed and the remaining time to stderr.

    On a terminal the line is updated in place; otherwise a new line is printed every few seconds. Nothing is printed
    if the work takes less than ``seconds``. In distributed runs only rank 0 prints.

    Args:
        what: Description of the work.
        total: Number of items, at least 1.
        unit: What the items are, in the plural.
        seconds: Seconds between two lines. Defaults to None: 0.5 on a terminal, else 3.

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
        self._started = self._printed = time.monotonic()

    def update(self, done: int) -> None:
        """Report the number of items done so far."""
        now = time.monotonic()
        if self._silent or now - self._printed < self._seconds:
            return
        self._printed = now
        rate = done / max(now - self._started, 1e-6)
        left = f", {eta(self.total - done, rate)} left" if rate and done < self.total else ""
        line = f"{self.what}: {done:,} of {self.total:,} {self.unit}, {rate:.3g} a second{left}"
        print(f"\r{line}\033[K" if self._in_place else line, end="" if self._in_place else "\n", file=sys.stderr)
        sys.stderr.flush()

    def __exit__(self, *error: object) -> None:
        if self._in_place and self._printed > self._started:  # end the line
            print(file=sys.stderr, flush=True)


def eta(items: int, rate: float) -> str:
    """Return how long ``items`` take at ``rate`` items per second, as ``H:MM:SS``.

    Example:
        >>> eta(90, 1.5)
        '0:01:00'
    """
    return str(datetime.timedelta(seconds=round(items / rate)))
