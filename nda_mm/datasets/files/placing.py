"""How a file or a folder comes to its place: whole, and without overwriting what is there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["link_folder", "write_atomically", "write_text_atomically"]


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file that is either the old one or the new one, whenever it is looked at.

    Args:
        path: The file; missing folders are made.
        text: What it is to hold.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text_atomically(Path(folder, "a.txt"), "b")
        ...     Path(folder, "a.txt").read_text()
        'b'
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let a function write a file that is either the old one or the new one, whenever it is looked at.

    Args:
        path: The file; its folder is there.
        write: Gets the open file.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder, "a.bin"), lambda file: file.write(b"b"))
        ...     Path(folder, "a.bin").read_bytes()
        b'b'
    """
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(unfinished, 0o644)  # mkstemp's 0600 would hide a shared file from one's colleagues
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def link_folder(folder: Path, link: Path) -> None:
    """Make ``link`` lead to a folder, unless it does or is that folder.

    Args:
        folder: What it shall lead to.
        link: The link; its folder is made.

    Raises:
        FileExistsError: If something else stands there; nothing is overwritten.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as place:
        ...     link_folder(Path(place), Path(place, "a", "b"))
        ...     Path(place, "a", "b").is_symlink()
        True
    """
    if os.path.lexists(link):
        if os.path.realpath(link) != os.path.realpath(folder):
            raise FileExistsError(
                f"{link} should lead to {folder}, but stands there already and leads elsewhere "
                f"({os.path.realpath(link)}); remove it, or choose another --out"
            )
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)
