"""File helpers: reading with clear errors, atomic writes, links to folders, and finding recipes by name."""

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

#: Suffix of the unfinished files of :func:`write_atomically`.
UNFINISHED = ".unfinished"
#: Prefix of the names of this package's recipes.
PREFIX = "nda_mm::"


def check_data_root(data_root: Any) -> str:
    """Check that a data set's folder is given, and return it as a string.

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
    """Find all entries below a folder whose names match.

    Links are followed, but no folder is visited twice. Entries other than files, such as broken links, are listed as
    well; :func:`check_file` raises an error for them.

    Args:
        folder: Folder to search. Hidden subfolders are skipped.
        wanted: Function that returns whether a name matches.

    Returns:
        Sorted paths that start with ``folder``.
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
    """Return the sorted names of the subfolders that are not hidden, or an empty list if the folder does not exist."""
    _, names, _ = next(os.walk(folder), ("", [], []))
    return sorted(name for name in names if not name.startswith("."))


def check_file(path: str | Path) -> None:
    """Check that a path is a regular file before it is opened: opening a FIFO would wait forever.

    Raises:
        OSError: If the path is not a regular file, or its name is not UTF-8 and can't be written to lists and logs.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(f"'{printable(path)}' is not a regular file")
    if printable(path) != str(path):
        raise OSError(f"the name '{printable(path)}' is not UTF-8")


def printable(name: str | Path) -> str:
    r"""Return a name for logs and lists, in which bytes that are not UTF-8 are escaped.

    Example:
        >>> print(printable(os.fsdecode(b"caf\xe9.png")), printable("café.png"))
        caf\udce9.png café.png
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def read_text(path: str | Path) -> str:
    """Read a UTF-8 text file, with errors that name the file.

    Raises:
        OSError: If the file is missing or not a regular file.
        ValueError: If the file is not UTF-8.
    """
    check_file(path)
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8: {error}") from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file with :func:`write_atomically`."""
    write_atomically(path, lambda file: file.write(text.encode()))


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file atomically: after a crash, a full disk or a power failure it is either the old or the new file.

    The content is written to a hidden file ending in ``.unfinished`` next to the target, flushed to disk, and renamed.

    Args:
        path: File to write. Missing folders are created.
        write: Function that writes the content to the open file.

    Raises:
        OSError: If the file can't be written. The old file is then unchanged, and nothing is left behind.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder, "a.bin"), lambda file: file.write(b"b"))
        ...     Path(folder, "a.bin").read_bytes()
        b'b'
    """
    path = Path(path).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The name is unique, even if several machines share the folder. open() gives the usual permissions.
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
    """Create a symbolic link to a folder, unless it exists already or is the folder itself.

    Args:
        folder: Target of the link.
        link: Path of the link. Missing parent folders are created.

    Raises:
        FileExistsError: If ``link`` is something else. Nothing is overwritten.
    """
    if os.path.lexists(link):
        if os.path.realpath(link) != os.path.realpath(folder):
            raise FileExistsError(f"{link} exists and is not {folder}; remove it, or choose another --out")
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(folder.resolve(), target_is_directory=True)


def recipe_path(name: str) -> Path:
    """Find a config by its path, or a recipe of this package by its name.

    A path that does not exist is looked up among the recipes: ``configs/biggan_digits.py`` finds
    ``configs/biggan/biggan_digits.py``.

    Args:
        name: A path, or a recipe's name with or without ``nda_mm::``, its folder and ``.py``.

    Returns:
        The path as given, or the path of the recipe in the installed package or the checkout.

    Raises:
        FileNotFoundError: If no config is found. The message suggests recipes with similar names, or lists all.
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
        f"config must be a file or the name of a recipe of nda_mm, but got {name!r}."
        + (f" Did you mean {' or '.join(near)}?" if near else f" The recipes are: {', '.join(known)}.")
    )
