"""Unpack chosen members of a zip or tar file; they are put in place only when all of them are there."""

from __future__ import annotations

import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from nda_mm.datasets.decoding import is_image
from nda_mm.datasets.report import list_bad_files
from nda_mm.utils.files import printable
from nda_mm.utils.messages import describe_error

#: Where a member belongs, by the parts of its name, below the folder that is filled; None for what is not wanted.
Place = Callable[[tuple[str, ...]], "PurePosixPath | None"]
#: What zipfile, tarfile and the decompressors raise for damaged files.
_DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, ValueError, LookupError, OverflowError, NotImplementedError),
)
#: Bytes of the largest image or list, and of the largest array.
_LARGEST, _LARGEST_ARRAY = 1 << 24, 1 << 31
_BLOCK = 512  # of a tar file, which ends with two that are empty


@dataclass
class Unpacked:
    """Result of :func:`unpack`: the number of members in place, and damaged members with the reason."""

    count: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def report(self) -> str:
        """The damaged members, one line each; '' if there are none."""
        return list_bad_files(self.damaged, "damaged in the archive, left out")


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


def unpack(source: Path, out: Path, place: Place) -> Unpacked:
    """Unpack the wanted members of an archive into a hidden folder next to ``out``, then move them in place.

    An interrupted call leaves no half-filled folder below ``out``, and the next call continues it. Files of the right
    size are kept. No member can leave ``out``: names with '..' are skipped, links and devices are never created. In a
    zip file, members that have a wrong checksum or are larger than a data set's can be are left out and reported; a
    tar file has no checksums, so there both are errors.

    Args:
        source: A zip file, or a tar file with any compression.
        out: The folder to fill.
        place: Where each member belongs.

    Returns:
        How many members are in place, and which are damaged.

    Raises:
        FileNotFoundError: If there is no such archive.
        FileExistsError: If ``out`` is a link: the folder that it leads to is not ours to fill.
        ValueError: If the archive is truncated or damaged (nothing is put in place then), or holds nothing wanted.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    unfinished = unfinished_folder(out)
    found = Unpacked()
    try:
        (_unpack_zip if _starts_as_zip(source) else _unpack_tar)(source, out, unfinished, place, found)
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # a full disk, say, is no damage
        cut_off = isinstance(error, EOFError) or "unexpected end" in str(error)
        if not cut_off:  # what was read before may be wrong, too
            shutil.rmtree(unfinished, ignore_errors=True)
        raise ValueError(
            f"'{source}' is {'cut off' if cut_off else 'damaged, or no archive'} ({describe_error(error)}). "
            "Nothing was put in place. Download the archive again"
        ) from error
    if not found.count:
        raise ValueError(f"'{source}' holds no undamaged file of this data set{found.report()}")
    if unfinished.is_dir():
        move_in_place(unfinished, out)
    return found


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
    for leftover in unfinished.rglob(".*.part"):
        leftover.unlink()
    out.mkdir(parents=True, exist_ok=True)
    for entry in sorted(unfinished.iterdir()):
        if not (out / entry.name).is_dir():
            os.replace(entry, out / entry.name)
            continue
        for file in sorted(path for path in entry.rglob("*") if path.is_file()):
            target = out / file.relative_to(unfinished)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(file, target)
    shutil.rmtree(unfinished)


def _starts_as_zip(source: Path) -> bool:
    with open(source, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def _unpack_zip(source: Path, out: Path, unfinished: Path, place: Place, found: Unpacked) -> None:
    if not zipfile.is_zipfile(source):
        raise EOFError("the table of contents at its end is missing")
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            target = None if info.is_dir() else _target(info.filename, place)
            if target is None:
                continue
            try:
                _check_size(target, info.file_size)
                if not _is_there(target, info.file_size, out, unfinished):
                    with archive.open(info) as content:
                        _write(content, unfinished / target, info.file_size)
                found.count += 1
            except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:  # the last: a password
                found.damaged.append((printable(info.filename), describe_error(error)))


def _unpack_tar(source: Path, out: Path, unfinished: Path, place: Place, found: Unpacked) -> None:
    with tarfile.open(source) as archive:
        for member in archive:
            target = _target(member.name, place) if member.isfile() else None
            if target is None:
                continue
            _check_size(target, member.size)
            content = archive.extractfile(member)
            if content is not None and not _is_there(target, member.size, out, unfinished):
                _write(content, unfinished / target, member.size)
            found.count += 1
        read = archive.offset + _BLOCK
        # A compressed file has its checksum at the end. tarfile takes any end of a plain one for the right one.
        while archive.fileobj is not None and archive.fileobj.read(1 << 20):
            pass
        if archive.fileobj is not None and archive.fileobj.tell() < read:
            raise EOFError("its end mark is missing")


def _target(name: str, place: Place) -> PurePosixPath | None:
    parts = tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in (".", "/"))
    return place(parts) if parts and ".." not in parts else None


def _check_size(target: PurePosixPath, size: int) -> None:
    """Refuse a member before it is read that would fill the disk."""
    most = _LARGEST_ARRAY if target.suffix in (".npy", ".bin", ".mat") else _LARGEST
    if not 0 <= size <= most:
        raise zipfile.BadZipFile(f"{target.name} has {size} bytes, but no such file of a data set has more than {most}")


def _is_there(target: PurePosixPath, size: int, *folders: Path) -> bool:
    return any((folder / target).is_file() and (folder / target).stat().st_size == size for folder in folders)


def _write(content: IO[bytes], target: Path, size: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with open(part, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    if part.stat().st_size != size:
        raise EOFError(f"{target.name} ends after {part.stat().st_size} of {size} bytes")
    os.replace(part, target)
