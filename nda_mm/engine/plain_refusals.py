"""What a command prints when it refuses something: the message, and not the frames of the hosts around it."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import mmengine.registry

__all__ = ["TRACEBACK", "plain_refusals"]

#: Environment variable that brings the whole traceback back, if it is set to anything.
TRACEBACK = "NDA_MM_TRACEBACK"
#: Whose ``raise`` statements are refusals: this package's, and those of mmengine's registries for unknown types.
_PLACES = (Path(__file__).resolve().parents[1], Path(mmengine.registry.__file__).resolve().parent)
_TOPS = (_PLACES[0].parent, _PLACES[1].parents[1])
_KINDS = (ValueError, TypeError, KeyError, OSError, RuntimeError, ModuleNotFoundError)


@contextmanager
def plain_refusals() -> Iterator[None]:
    """End the command with a refusal's message on stderr, and status 1, instead of with a traceback.

    A refusal is an error that a ``raise`` statement of this package has made, or one of mmengine's registries that do
    not know a type: its message says what came, what is allowed and what to do, and the frames between it and the
    command say nothing more. Any other error, of a host or a mistake of ours, keeps its traceback. So do all if the
    environment sets ``NDA_MM_TRACEBACK``.

    Raises:
        SystemExit: With status 1, in the place of a refusal.

    Example:
        >>> with plain_refusals():
        ...     int("no refusal of ours")
        Traceback (most recent call last):
        ...
        ValueError: invalid literal for int() with base 10: 'no refusal of ours'
    """
    try:
        yield
    except _KINDS as error:
        place = _statement(error.__traceback__)
        if place is None or os.environ.get(TRACEBACK):
            raise
        message = error.args[0] if isinstance(error, KeyError) and error.args else error  # its str() is a repr()
        print(f"\nerror: {message}\n({place}; {TRACEBACK}=1 prints the whole traceback)", file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def _statement(traceback: TracebackType | None) -> str | None:
    """File and line of the ``raise`` statement that made a refusal; None if the error is another."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    if traceback is None:
        return None
    file, line = Path(traceback.tb_frame.f_code.co_filename).resolve(), traceback.tb_lineno
    top = next((top for place, top in zip(_PLACES, _TOPS, strict=True) if file.is_relative_to(place)), None)
    if top is None or not linecache.getline(str(file), line).lstrip().startswith("raise "):
        return None
    return f"{file.relative_to(top).as_posix()}:{line}"
