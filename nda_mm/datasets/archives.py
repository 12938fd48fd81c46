"""Unpack chosen members of a zip or tar file; they are put in place only when all of them are there."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from nda_mm.utils.files import printable
from nda_mm.utils.messages import describe_error

#: Where a member belongs, by the parts of its name, below the folder that is filled; None for what is not wanted.
Place = Callable[[tuple[str, ...]], "PurePosixPath | None"]
#: Bytes of the largest file in an archive, where its set names no other limit: more than any image or list has.
LARGEST = 1 << 24
_DAMAGE: tuple[type[Exception], ...] = (
    tarfile.TarError,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    gzip.BadGzipFile,
    lzma.LZMAError,
    struct.error,
)
_DAMAGE += (ValueError, LookupError, OverflowError, NotImplementedError)  # which both modules raise of damaged headers
_BLOCK = 512  # of a tar file, which ends with two that are empty


@dataclass
class Unpacked:
    """Result of :func:`unpack`: the number of members in place, and damaged members with the reason."""

    count: int = 0
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def report(self) -> str:
        """The damaged members, one line each; '' where there are none."""
        return list_bad_files(self.damaged, "damaged in the archive, left out")


def list_bad_files(bad: Sequence[tuple[str, str]], what: str) -> str:
    """Bad files and their reasons, one line each, to append to a line of a report; '' for none.

    Example:
        >>> print("checked" + list_bad_files([("a.png", "cut off")], "cannot be read"))
        checked
        1 x cannot be read:
          a.png: cut off
    """
    return f"\n{len(bad)} x {what}:" + "".join(f"\n  {name}: {reason}" for name, reason in bad) if bad else ""


def unpack(source: Path, out: Path, place: Place, limits: Mapping[str, int] | None = None) -> Unpacked:
    """Unpack the wanted members of an archive into a hidden folder beside ``out``, then move them in place.

    An interrupted call leaves no half-filled folder below ``out``, and the next call continues it. Files of the right
    size are kept. No member can leave ``out``: names with '..' are skipped, links and devices are never created. In a
    zip file, members with a wrong checksum or above their size limit are left out and reported; a tar file has no
    checksums, so any damage is an error.

    Args:
        source: A zip file, or a tar file with any compression.
        out: The folder to fill.
        place: Where each member belongs.
        limits: The most bytes that files may have, by their names. Default, and for other names: :data:`LARGEST`.

    Returns:
        How many members are in place, and which are damaged.

    Raises:
        FileNotFoundError: If there is no such archive.
        FileExistsError: If ``out`` is a link: the folder that it leads to is somebody's own.
        ValueError: If the archive is truncated or damaged (nothing is put in place then), or holds nothing wanted.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    unfinished = unfinished_folder(out)
    found = Unpacked()
    read = _read_zip if _starts_as_zip(source) else _read_tar
    try:
        read(source, out, unfinished, place, limits or {}, found)
    except _DAMAGE as error:
        cut_off = isinstance(error, EOFError) or "unexpected end" in str(error)
        if not cut_off:  # what was read before may be wrong, too
            shutil.rmtree(unfinished, ignore_errors=True)
        kept = f"; the {found.count} complete files are kept for the next attempt" if cut_off and found.count else ""
        raise ValueError(
            f"'{source}' is {'cut off' if cut_off else 'damaged, or no archive'} ({describe_error(error)}). "
            f"Nothing was put in place{kept}. Download the archive again"
        ) from error
    if not found.count:
        raise ValueError(f"'{source}' holds no undamaged file of this data set{found.report()}")
    if unfinished.is_dir():
        move_in_place(unfinished, out)
    return found


def unfinished_folder(out: Path) -> Path:
    """The hidden folder beside ``out`` in which its content is made; not made here.

    Raises:
        FileExistsError: If ``out`` is a link: the folder that it leads to is somebody's own.

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

    Into a folder that stands there already, as an earlier call has put it in place, file by file.

    Args:
        unfinished: From :func:`unfinished_folder`; it is gone afterwards.
        out: The folder to fill.
    """
    for left_over in unfinished.rglob(".*.part"):
        left_over.unlink()
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


def open_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, limit: int = LARGEST) -> IO[bytes]:
    """A member of a zip file, opened for reading; never more bytes come than its header says.

    Raises:
        zipfile.BadZipFile: If that is more than ``limit``, or the compression none that can be read in pieces.
    """
    if info.file_size > limit:
        raise zipfile.BadZipFile(f"{info.file_size} bytes, but no file of this set has more than {limit}")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"compressed by method {info.compress_type}, not by deflate")
    return archive.open(info)


def open_tar(source: Path, limit: int) -> tarfile.TarFile:
    """A tar file of any compression, opened for reading.

    Raises:
        tarfile.TarError: If it is none; later, as soon as a member, or a header that describes one, has more than
            ``limit`` bytes.
    """

    def check(member: tarfile.TarInfo, most: int) -> tarfile.TarInfo:
        if not 0 <= member.size <= most:
            raise tarfile.TarError(  # no ReadError, after which other compressions would be tried
                f"its member {printable(member.name)} has {member.size} bytes, but no file of this set more than {most}"
            )
        return member

    class Member(tarfile.TarInfo):
        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Any:
            member = super().frombuf(buf, encoding, errors)
            return check(member, limit if member.isreg() else LARGEST)

    class Archive(tarfile.TarFile):
        tarinfo = Member

        def next(self) -> tarfile.TarInfo | None:
            member = super().next()
            return member and check(member, limit)  # once more: further headers may have changed the size

    return Archive.open(source, "r:*")


def _read_zip(
    source: Path, out: Path, unfinished: Path, place: Place, limits: Mapping[str, int], found: Unpacked
) -> None:
    if not zipfile.is_zipfile(source):
        raise EOFError("the table of contents at its end is missing")
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            target = None if info.is_dir() else _target(info.filename, place)
            if target is None:
                continue
            try:
                if not _is_there(target, info.file_size, out, unfinished):
                    with open_member(archive, info, limits.get(target.name, LARGEST)) as content:
                        _write(content, unfinished / target, info.file_size)
                found.count += 1
            except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:  # the last: a password
                found.damaged.append((printable(info.filename), describe_error(error)))


def _read_tar(
    source: Path, out: Path, unfinished: Path, place: Place, limits: Mapping[str, int], found: Unpacked
) -> None:
    with open_tar(source, max([LARGEST, *limits.values()])) as archive:
        for member in archive:
            target = _target(member.name, place) if member.isfile() else None
            if target is None:
                continue
            if member.size > limits.get(target.name, LARGEST):
                raise tarfile.TarError(f"{member.name} has {member.size} bytes, more than that file can have")
            if not _is_there(target, member.size, out, unfinished):
                content = archive.extractfile(member)
                if content is None:
                    raise tarfile.ReadError(f"{member.name} is no file")
                with content:
                    _write(content, unfinished / target, member.size)
            found.count += 1
        if isinstance(archive.fileobj, io.BufferedReader):
            if source.stat().st_size < archive.offset + _BLOCK:  # tarfile takes any end for the right one
                raise EOFError(f"it ends after {source.stat().st_size} bytes, without the end mark")
        elif archive.fileobj is not None:
            rest = 0
            while chunk := archive.fileobj.read(1 << 20):  # its checksum comes last
                rest += len(chunk)
                if rest > LARGEST:
                    raise tarfile.ReadError("more data follow its end mark")


def _target(name: str, place: Place) -> PurePosixPath | None:
    parts = tuple(part for part in PurePosixPath(name.replace("\\", "/")).parts if part not in (".", "/"))
    target = place(parts) if parts and ".." not in parts else None
    return target


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
