"""Unpack selected members of a zip or tar file, and move them into place only when all of them are unpacked."""

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

#: Maps the parts of a member's name to its path below the output folder, or to None if the member is not wanted.
Place = Callable[[tuple[str, ...]], "PurePosixPath | None"]


def layout(*patterns: str) -> Place:
    """Place members by a data set's layout, regardless of the folders they are wrapped in.

    Args:
        patterns: Paths below the output folder; each part may contain wildcards. A last part of ``*`` matches images
            only. Hidden files never match.

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
    """Unpack the wanted members of an archive into a hidden folder next to ``out``, then move them into place.


    If the call fails or is interrupted before the move, ``out`` is unchanged. No member can be written outside ``out``:
    names with '..' are skipped, and links and devices are never created. A plain tar file that is truncated between two
    members looks complete, so callers must count the files.

    Args:
        source: A zip file, or a tar file with any compression.
        out: Output folder; existing files with the same names are replaced.
        place: Maps each member to its path; see :func:`layout`.

    Returns:
        Number of unpacked members.

    Raises:
        FileNotFoundError: If the archive does not exist.
        FileExistsError: If ``out`` is a link; its target is never written to.
        ValueError: If the archive is truncated or damaged, or contains none of the wanted files.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    unfinished = unfinished_folder(out)
    shutil.rmtree(unfinished, ignore_errors=True)  # left over from a killed process
    try:
        count = _extract(source, unfinished, place)
        if not count:
            raise ValueError(f"'{source}' contains no files of this data set")
        move_in_place(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return count


def unfinished_folder(out: Path) -> Path:
    """Return the path of the hidden folder next to ``out`` in which its content is prepared, without creating it.

    Raises:
        FileExistsError: If ``out`` is a link; its target is never written to.

    Example:
        >>> unfinished_folder(Path("data/dtd")).as_posix()
        'data/.dtd.unfinished'
    """
    if out.is_symlink():
        raise FileExistsError(
            f"'{out}' is a link to {os.path.realpath(out)}, and nothing is written through links; remove the link, or "
            "choose a different --out"
        )
    return out.with_name(f".{out.name}.unfinished")


def move_in_place(unfinished: Path, out: Path) -> None:
    """Move the prepared content into ``out``, renaming each top-level folder and file in one step.

    If a folder already exists, its files are moved one by one.

    Args:
        unfinished: Folder from :func:`unfinished_folder`; it no longer exists afterwards.
        out: Output folder.
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
    """Write the wanted members below a folder and return their number."""
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
            raise  # a full disk, for example, does not mean that the archive is damaged
        raise ValueError(
            f"'{source}' is truncated, damaged, or not a zip or tar file ({describe_error(error)}). Nothing "
            "was unpacked. Download the archive again"
        ) from error
    return count


def _members(source: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each file in an archive and a function that opens it."""
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
            pass  # read to the end, where a compressed file has its checksum
