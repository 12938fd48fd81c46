"""The official python archives of CIFAR, read without running what they hold and without unpacking them to disk."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.archives import open_tar
from nda_mm.datasets.download import file_md5
from nda_mm.utils.files import check_file
from nda_mm.utils.messages import Progress

_LARGEST = 200_000_000  # bytes of a file; CIFAR-100's training images, the most, have 155 million


class ArchiveError(RuntimeError):
    """An archive, or a file of it, is missing, truncated or not the one that was published."""


@dataclass(frozen=True)
class Archive:
    """What is published: names, checksums (MD5; None: not checked) and the key of the labels.

    Args:
        url: Where the archive is offered.
        filename: Its name.
        md5: Its checksum.
        folder: The folder it unpacks to.
        splits: For each split the files that hold it, each with its checksum.
        label_key: Key of the labels in a file.
    """

    url: str
    filename: str
    md5: str | None
    folder: str
    splits: dict[str, tuple[tuple[str, str | None], ...]]
    label_key: str


def read_packed(path: Path, archive: Archive, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 32, 32, 3) and labels (N,) of one split, straight from the ``.tar.gz``.

    Raises:
        ArchiveError: If the archive is truncated or its checksum is wrong; the message names it.
    """
    size = path.stat().st_size
    if archive.md5 is not None and (found := file_md5(path)) != archive.md5:
        raise ArchiveError(
            f"'{path}' is truncated or damaged: MD5 {found} over {size} bytes, "
            f"but the official archive has {archive.md5}"
        )
    try:
        wanted = [f"{archive.folder}/{name}" for name, _ in archive.splits[split]]
        found_files = {}
        # In the order of the archive: to go back in it would mean to unpack it twice.
        with open_tar(path, _LARGEST) as tar, Progress(f"reading '{path}'", len(wanted), "files") as progress:
            for member in tar:
                if member.name in wanted and member.isfile():
                    found_files[member.name] = tar.extractfile(member).read()  # type: ignore[union-attr]
                    progress.update(len(found_files))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArchiveError(f"'{path}' is truncated or damaged: {error}") from error
    contents = []
    for name, md5 in archive.splits[split]:
        if f"{archive.folder}/{name}" not in found_files:
            raise ArchiveError(f"'{path}' holds no '{archive.folder}/{name}': it is truncated or another archive")
        contents.append((f"{path}:{name}", found_files[f"{archive.folder}/{name}"], md5))
    return _join(contents, archive.label_key)


def read_unpacked(folder: Path, archive: Archive, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The same from the folder that the archive unpacks to."""
    contents = []
    for name, md5 in archive.splits[split]:
        path = folder / name
        try:
            check_file(path)
            if path.stat().st_size > _LARGEST:
                raise ArchiveError(f"'{path}' has {path.stat().st_size} bytes, but no file of CIFAR has {_LARGEST}")
            contents.append((str(path), path.read_bytes(), md5))
        except OSError as error:
            raise ArchiveError(f"'{path}' cannot be read: {error.strerror or error}") from error
    return _join(contents, archive.label_key)


def _join(contents: Sequence[tuple[str, bytes, str | None]], label_key: str) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = [], []
    for name, content, md5 in contents:
        if md5 is not None and (found := hashlib.md5(content, usedforsecurity=False).hexdigest()) != md5:
            raise ArchiveError(
                f"'{name}' is truncated or damaged: MD5 {found} over {len(content)} bytes, expected {md5}"
            )
        entry = load_batch(content, name)
        data, batch_labels = entry.get("data"), entry.get(label_key)
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != 3072:
            raise ArchiveError(f"'{name}' holds no array 'data' of uint8 rows of 3072 values")
        if not isinstance(batch_labels, list) or len(batch_labels) != len(data):
            raise ArchiveError(f"'{name}' holds no list '{label_key}' with one label for each of {len(data)} images")
        pixels.append(data)
        labels.append(np.asarray(batch_labels, dtype=np.int64))
    # A row is all red, then all green, then all blue values.
    images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), np.concatenate(labels)


def load_batch(content: bytes, name: str = "batch") -> dict[str, Any]:
    """Unpickle one batch file, letting nothing through but plain values and numpy arrays.

    A pickle may call anything it can name; here it can name numpy's own array reconstruction alone, so a tampered file
    ends in an error and not in somebody's code.

    Example:
        >>> load_batch(pickle.dumps({"labels": [3]}))
        {'labels': [3]}
    """
    try:
        entry = _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except ArchiveError:
        raise
    except Exception as error:  # damaged pickles fail in every possible way
        raise ArchiveError(f"'{name}' is no readable batch file: {type(error).__name__}: {error}") from error
    if not isinstance(entry, dict):
        raise ArchiveError(f"'{name}' holds a {type(entry).__name__}, not the dictionary of a batch file")
    return entry


def _latin1_bytes(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, by which python 3 writes bytes into pickles of protocol 2."""
    if encoding != "latin1":
        raise ArchiveError(f"a batch file asks for the codec {encoding!r}; only latin1 occurs in one")
    return text.encode("latin1")


# Taken from a live array, since numpy 2 moved the function; both module names occur in files.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1_bytes,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise ArchiveError(
                f"a batch file asks for '{module}.{name}', which no CIFAR file needs; it is refused"
            ) from None
