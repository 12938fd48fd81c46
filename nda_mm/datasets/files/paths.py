"""What may lie in a user's folders: entries that are no files, names that cannot be printed, and no folder at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["check_data_root", "check_file", "files_below", "printable", "read_text", "subfolders"]


def check_data_root(data_root: Any) -> str:
    """The folder of a data set, if one is named.

    Raises:
        ValueError: If it is empty or None, which would otherwise be the current folder, with whatever lies there.

    Example:
        >>> check_data_root(Path("data/cifar10"))
        'data/cifar10'
    """
    if data_root is None or not str(data_root).strip():
        raise ValueError(f"data_root must name a folder ('.' is the current one), but got {data_root!r}")
    return str(data_root)


def files_below(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Whatever has a wanted name below a folder, sorted; links are followed, but no folder is entered twice.

    Entries that are no files, such as links to nowhere, are listed too, for :func:`check_file` to refuse.

    Args:
        folder: Where to look; hidden folders in it are left out.
        wanted: Whether a name is wanted.

    Returns:
        Their paths, below ``folder``.
    """
    found, seen = [], set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [Path(parent, name) for name in (*folders, *names) if wanted(name)]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return sorted(found)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, without hidden ones, sorted; none where there is no folder."""
    _, names, _ = next(os.walk(folder), ("", [], []))
    return sorted(name for name in names if not name.startswith("."))


def check_file(path: str | Path) -> None:
    """Refuse what cannot be read to its end, before it is opened: opening a FIFO alone would wait forever.

    Raises:
        OSError: If the path is a link to nowhere or in a circle, a folder, FIFO, socket or device, or its name is not
            UTF-8, which neither lists nor logs can hold.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"'{printable(path)}' is no regular file")
    if printable(path) != str(path):
        raise OSError(f"the name '{printable(path)}' is not UTF-8")


def printable(name: str | Path) -> str:
    r"""A name as logs and lists can hold it.

    Example:
        >>> print(printable(os.fsdecode(b"caf\xe9.png")), printable("café.png"))
        caf\udce9.png café.png
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def read_text(path: str | Path) -> str:
    """A text file in UTF-8, with errors that name it.

    Raises:
        OSError: If it is missing, or no file.
        ValueError: If it is not UTF-8.
    """
    check_file(path)
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is no text in UTF-8: {error}") from error
