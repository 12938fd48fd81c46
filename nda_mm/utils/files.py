"""Files and folders of a user: read with care, written whole, never overwritten by accident."""

from __future__ import annotations

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

#: How the names of files end that :func:`write_atomically` has not finished.
UNFINISHED = ".unfinished"
#: Before the name of a recipe of this package.
PREFIX = "nda_mm::"


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


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; see :func:`write_atomically`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_text_atomically(Path(folder, "a.txt"), "b")
        ...     Path(folder, "a.txt").read_text()
        'b'
    """
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that a crash, a full disk or a power cut leaves either old or new, never half of each.

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
    # A name that no other process has, also on another machine; open() gives it the user's usual permissions.
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
    with suppress(OSError):  # not every file system can flush a folder; the file itself is on the disk by now
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def link_folder(folder: Path, link: Path) -> None:
    """Make ``link`` lead to a folder, unless it does or is that folder.

    Args:
        folder: Its target.
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


def recipe_path(name: str) -> Path:
    """The file of a config: a path, or a recipe of this package by its name.

    A path that does not exist is looked up among the recipes, so that ``configs/biggan_digits.py`` finds
    ``configs/biggan/biggan_digits.py``.

    Args:
        name: A path, or a recipe's name with or without ``nda_mm::``, its folder and ``.py``.

    Returns:
        The path as given, or of the recipe inside the installed package or in the checkout.

    Raises:
        FileNotFoundError: If there is none; the message lists the recipes.
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
    raise FileNotFoundError(
        f"There is no config {name!r}, neither a file nor one of nda_mm's recipes: "
        f"{', '.join(known) or 'it was installed without any'}."
    )
