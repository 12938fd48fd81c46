"""Unpack chosen members of a zip or tar file; they are put in place only when all of them are there."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from nda_mm.datasets.decoding import is_image
from nda_mm.utils.files import UNFINISHED
from nda_mm.utils.messages import describe_error

#: Where a member belongs, by the parts of its name, below the folder that is filled; None for what is not wanted.
Place = Callable[[tuple[str, ...]], "PurePosixPath | None"]


def layout(*patterns: str) -> Place:
    """Place members by a data set's layout, whatever folders they are wrapped in.

    Args:
        patterns: Paths below the folder to fill, of which each part may have wildcards. A last part of ``*`` stands for
            images; hidden files are never wanted.

    Example:
        >>> place = layout("images/*/*", "labels.txt")
        >>> place(("dtd", "images", "banded", "1.jpg")), place(("dtd", "labels.txt")), place(("images", "1.jpg"))
        (PurePosixPath('images/banded/1.jpg'), PurePosixPath('labels.txt'), None)
    """
    wanted = [PurePosixPath(pattern).parts for pattern in patterns]

    def place(parts: tuple[str, ...]) -> PurePosixPath | None:
        for pattern in wanted:
            path = parts[-len(pattern) :]
            if len(path) < len(pattern) or path[-1].startswith(".") or (pattern[-1] == "*" and not is_image(path[-1])):
                continue
            if all(map(fnmatchcase, path, pattern)):
                return PurePosixPath(*path)
        return None

    return place


def unpack(source: Path, out: Path, place: Place) -> int:
    """Unpack the wanted members of an archive into a hidden folder next to ``out``, then move them in place.

    A call that fails or is interrupted before that puts nothing in place. No member can leave ``out``: names with '..'
    are skipped, links and devices are never created. A plain tar file that is cut off between two members looks whole:
    callers count what they have.

    Args:
        source: A zip file, or a tar file with any compression.
        out: The folder to fill; files of the same names are replaced.
        place: Where each member belongs.

    Returns:
        How many members were put in place.

    Raises:
        FileNotFoundError: If there is no such archive.
        FileExistsError: If ``out`` is a link: the folder that it leads to is not ours to fill.
        ValueError: If the archive is truncated or damaged, or holds nothing wanted.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    unfinished = unfinished_folder(out)
    shutil.rmtree(unfinished, ignore_errors=True)  # what a killed process has left
    try:
        count = _extract(source, unfinished, place)
        if not count:
            raise ValueError(f"'{source}' holds no file of this data set")
        move_in_place(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def unfinished_folder(out: Path) -> Path:
    """The hidden folder next to ``out`` in which its content is made; not made here.

    Raises:
        FileExistsError: If ``out`` is a link: the folder that it leads to is not ours to fill.

    Example:
        >>> unfinished_folder(Path("data/dtd")).as_posix()
        'data/.dtd.unfinished'
    """
    if out.is_symlink():
        raise FileExistsError(
            f"'{out}' is a link to {os.path.realpath(out)}, where nothing is written; remove the link, or choose "
            "another --out"
        )
    return out.with_name(f".{out.name}.unfinished")


def move_in_place(unfinished: Path, out: Path) -> None:
    """Move what was made into ``out``, each folder and file of the first level by one renaming.

    A folder that is there already gets the files one by one.

    Args:
        unfinished: From :func:`unfinished_folder`; it is gone afterwards.
        out: The folder to fill.
    """
    for leftover in unfinished.rglob(f".*{UNFINISHED}"):
        leftover.unlink()
    out.mkdir(parents=True, exist_ok=True)
    for entry in sorted(unfinished.iterdir()):
        if (out / entry.name).is_dir():
            shutil.copytree(entry, out / entry.name, copy_function=os.replace, dirs_exist_ok=True)
        else:
            os.replace(entry, out / entry.name)
    shutil.rmtree(unfinished)


def _extract(source: Path, folder: Path, place: Place) -> int:
    """Write the wanted members below a folder; their number."""
    count = 0
    try:
        for name, open_member in _members(source):
            parts = PurePosixPath(name.replace("\\", "/").lstrip("/")).parts
            target = None if ".." in parts else place(parts)
            if target is None:
                continue
            path = folder / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with open_member() as content, open(path, "wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            count += 1
    except Exception as error:  # whatever zipfile, tarfile and the decompressors raise for damaged files
        if isinstance(error, MemoryError) or getattr(error, "errno", None) is not None:
            raise  # a full disk, say, is no damage
        raise ValueError(
            f"'{source}' is cut off, damaged, or neither a zip nor a tar file ({describe_error(error)}). Nothing was "
            "put in place. Download the archive again"
        ) from error
    return count


def _members(source: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Name of each file in an archive, and what opens it."""
    if not tarfile.is_tarfile(source):
        with zipfile.ZipFile(source) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    yield info.filename, partial(archive.open, info)
        return
    with tarfile.open(source) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, partial(archive.extractfile, member)
        while archive.fileobj is not None and archive.fileobj.read(1 << 20):
            pass  # a compressed file has its checksum at the end
