"""Reading files with errors that name them, atomic writes, links to folders, and recipes by name."""

from __future__ import annotations

import difflib
import os
import stat
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

__all__ = [
    "PREFIX",
    "UNFINISHED",
    "check_data_root",
    "check_file",
    "files_below",
    "link_folder",
    "printable",
    "read_text",
    "recipe_path",
    "subfolders",
    "write_atomically",
    "write_text_atomically",
]

#: Suffix of files that :func:`write_atomically` has not finished.
UNFINISHED = ".unfinished"
#: Prefix of a recipe of this package.
PREFIX = "nda_mm::"


def check_data_root(data_root: Any) -> str:
    """The folder of a data set, if one is named.

    Raises:
        ValueError: If it is empty or None, which would otherwise mean the current folder.

    Example:
        >>> check_data_root(Path("data/cifar10"))
        'data/cifar10'
    """
    if data_root is None or not str(data_root).strip():
        raise ValueError(f"data_root must name a folder ('.' is the current one), but got {data_root!r}")
    return str(data_root)


def files_below(folder: Path, wanted: Callable[[str], bool]) -> list[Path]:
    """Find entries by name below a folder, sorted; links are followed, but no folder is entered twice.

    Entries other than files, such as broken links, are listed too; :func:`check_file` refuses them.

    Args:
        folder: Where to look; hidden subfolders are left out.
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
    """Sorted names of the subfolders of a folder without hidden ones; none if the folder does not exist."""
    _, names, _ = next(os.walk(folder), ("", [], []))
    return sorted(name for name in names if not name.startswith("."))


def check_file(path: str | Path) -> None:
    """Refuse anything but a regular file, before it is opened: opening a FIFO would wait forever.

    Raises:
        OSError: If the path is no regular file, or its name is not UTF-8, which lists and logs can't hold.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"'{printable(path)}' is no regular file")
    if printable(path) != str(path):
        raise OSError(f"the name '{printable(path)}' is not UTF-8")


def printable(name: str | Path) -> str:
    r"""A name for logs and lists, with bytes that are not UTF-8 escaped.

    Example:
        >>> print(printable(os.fsdecode(b"caf\xe9.png")), printable("café.png"))
        caf\udce9.png café.png
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def read_text(path: str | Path) -> str:
    """Read a text file in UTF-8, with errors that name it.

    Raises:
        OSError: If it is missing, or no file.
        ValueError: If it is not UTF-8.
    """
    check_file(path)
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8: {error}") from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8 by :func:`write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file atomically: after a crash, a full disk or a power cut it is either the old or the new one.

    It is written next to its target under a hidden name ending in ``.unfinished``, flushed to the disk, and renamed.

    Args:
        path: The file; missing folders are made.
        write: Gets the open file.

    Raises:
        OSError: If it can't be written; the old file is untouched, and nothing is left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder, "a.bin"), lambda file: file.write(b"b"))
        ...     Path(folder, "a.bin").read_bytes()
        b'b'
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that no other process has, also on another machine; open() gives the usual permissions.
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}{UNFINISHED}")
    try:
        with open(unfinished, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except BaseException:  # Ctrl-C too
        with suppress(OSError):
            unfinished.unlink()
        raise
    with suppress(OSError):  # not every file system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def link_folder(folder: Path, link: Path) -> None:
    """Link to a folder, unless the link exists or is the folder itself.

    Args:
        folder: Its target.
        link: The link; its folder is made.

    Raises:
        FileExistsError: If something else is there; nothing is overwritten.
    """
    if os.path.lexists(link):
        if os.path.realpath(link) != os.path.realpath(folder):
            raise FileExistsError(f"{link} exists and is not {folder}; remove it, or choose another --out")
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)


def recipe_path(name: str) -> Path:
    """Find a config: a path, or a recipe of this package by its name.

    A path that does not exist is looked up among the recipes: ``configs/biggan_digits.py`` finds
    ``configs/biggan/biggan_digits.py``.

    Args:
        name: A path, or a recipe's name with or without ``nda_mm::``, its folder and ``.py``.

    Returns:
        The path as given, or of the recipe inside the installed package or in the checkout.

    Raises:
        FileNotFoundError: If there is none; the message names the recipes that are spelled alike, or all.
    """
    if not name.startswith(PREFIX) and Path(name).is_file():
        return Path(name)
    package = Path(__file__).resolve().parents[1]
    folders = [folder for folder in (package / ".mim" / "configs", package.parent / "configs") if folder.is_dir()]
    wanted = Path(name.removeprefix(PREFIX).removesuffix(".py") + ".py")
    if "configs" in wanted.parts[:-1]:
        wanted = Path(*wanted.parts[wanted.parts.index("configs") + 1 :])
    for folder in folders:
        for path in (*folder.glob(f"[a-z]*/{wanted}"), folder / wanted):
            if path.is_file():
                return path
    known = sorted({path.stem for folder in folders for path in folder.glob("[a-z]*/*.py")})
    near = difflib.get_close_matches(wanted.stem, known, n=3)
    raise FileNotFoundError(
        f"There is no config {name!r}, neither a file nor one of nda_mm's recipes."
        + (f" Did you mean {' or '.join(near)}?" if near else f" They are: {', '.join(known)}.")
    )
