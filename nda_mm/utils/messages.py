"""The words of messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["describe_error", "shorten"]


def shorten(names: Iterable[object], limit: int = 4, separator: str = ", ") -> str:
    """Join the first few names, and say how many more there are.

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
    """Write an exception as one line: its class and the first line of its message.

    Example:
        >>> describe_error(ValueError("first line\\nsecond line"))
        'ValueError: first line'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
