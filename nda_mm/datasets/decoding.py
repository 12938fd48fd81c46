"""Image files: found, checked, and decoded once into an array that is kept in a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from nda_mm.datasets.report import track
from nda_mm.utils.files import check_file, files_below, printable, read_text, subfolders, write_atomically
from nda_mm.utils.messages import describe_error

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"})
CACHE_FOLDER = ".nda_mm_cache"
_THREADS = min(8, os.cpu_count() or 1)
#: Number of each bad file, and what is wrong with it.
_Faults = Sequence[tuple[int, str]]
_ORIENTATION = 0x0112  # EXIF tag; values of 5 and more are quarter turns


@dataclass(frozen=True)
class DecodedImages:
    """Outcome of :func:`decode_images`: ``images[i]`` is of file ``kept[i]``; ``bad`` holds (file, reason) pairs."""

    images: np.ndarray
    kept: np.ndarray
    bad: list[tuple[str, str]]


def is_image(name: str) -> bool:
    """Whether a file name looks like an image; hidden files (and macOS' ``._`` companions) don't.

    Example:
        >>> is_image("a.PNG"), is_image("._a.png"), is_image("notes.txt")
        (True, False, False)
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Sorted image files below each direct subfolder of ``folder`` that has any, subfolders in alphabetical order."""
    found = {printable(name): image_files(folder / name) for name in subfolders(folder)}
    return {name: files for name, files in found.items() if files}


def image_files(folder: Path) -> list[Path]:
    """All image files below a folder, sorted by their path, and what else has an image's name."""
    return files_below(folder, is_image)


def open_image(path: str | Path) -> Any:
    """Open an image with Pillow, to be used in a ``with``.

    Raises:
        OSError: If :func:`~nda_mm.utils.files.check_file` refuses the path, or Pillow knows no such image.
    """
    from PIL import Image

    check_file(path)
    return Image.open(path)


def image_size(path: str | Path, *, decode: bool = True) -> tuple[int, int]:
    """Width and height of an image as readers show it, that is, turned by its EXIF orientation.

    Args:
        path: The file.
        decode: Whether all of the file is read, which finds truncated files and takes milliseconds, or only its header.

    Raises:
        FileNotFoundError: If there is no such file.
        OSError: If it is no image, or damaged.
    """
    try:
        with open_image(path) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION, 1) >= 5
            if decode:
                image.draft("RGB", (32, 32))  # all bytes of a JPEG are read, but few pixels are made
                image.load()
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # whatever Pillow's decoders raise for a damaged file
        raise OSError(describe_error(error)) from error
    return (height, width) if sideways else (width, height)


def decode_images(
    files: Sequence[Path],
    decode: Callable[[Path], np.ndarray],
    shape: tuple[int, int, int],
    *,
    root: Path,
    name: str,
    cache_dir: str | Path | bool = True,
) -> DecodedImages:
    """Decode files with a pool of threads, or map the array that an earlier call has written.

    The cache is one ``.npy`` file whose name carries a fingerprint of the file list (names, sizes, modification times)
    and of ``name`` and ``shape``; any change of the data makes a new one and removes the old. Next to it are the faults
    of the files that are not in it, and a checksum of both, which is compared at each start (about a second for 2 GB).
    Both are written under other names and renamed, so no process ever sees half of one; several may write at once.

    Args:
        files: Files below ``root``, in the order wanted.
        decode: Turns one file into a uint8 array of ``shape``; what it raises makes the file a bad one.
        shape: (H, W, C) of every image.
        root: Folder against which names are fingerprinted, so that a moved folder keeps its cache.
        name: Distinguishes caches of one folder, e.g. 'train'; part of the file name.
        cache_dir: Folder for the cache; True: ``.nda_mm_cache`` inside ``root``; False: none.

    Returns:
        The images (memory-mapped, read-only, where a cache could be written), which files they are, and the bad files.
    """
    found = None
    if cache_dir is not False:
        folder = root / CACHE_FOLDER if cache_dir is True else Path(cache_dir)
        # In a shared cache folder two data sets of the same split name must not evict each other.
        owner = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:8]
        stem = f"{name}_{owner}_{'x'.join(map(str, shape))}_"
        cache = folder / f"{stem}{fingerprint(files, root, repr((name, shape, 'v3')).encode())}.npy"
        found = _read_cache(cache)
    images, faults = found or _decode_all(files, decode, shape, root)
    if cache_dir is not False and not found and len(images):
        _write_cache(cache, stem, images, faults)
        images, faults = _read_cache(cache) or (images, faults)
    kept = np.setdiff1d(np.arange(len(files)), [index for index, _ in faults])
    bad = [(printable(files[index].relative_to(root).as_posix()), fault) for index, fault in faults]
    return DecodedImages(images, kept, bad)


def _read_cache(cache: Path) -> tuple[np.ndarray, _Faults] | None:
    """What :func:`_write_cache` has written; None if it is not there or damaged."""
    try:
        notes = json.loads(cache.with_suffix(".json").read_text())
        images = np.load(cache, mmap_mode="r", allow_pickle=False)
        if notes["checksum"] != _checksum(images, notes["faults"]):
            raise ValueError("its checksum is wrong")
        return images, notes["faults"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # whatever JSON and numpy make of a damaged file
        print_log(
            f"The cache '{cache}' is damaged ({describe_error(error)}) and is replaced.", "current", logging.WARNING
        )
        return None


def _write_cache(cache: Path, stem: str, images: np.ndarray, faults: _Faults) -> None:
    """Write a cache and remove the outdated ones, whose names begin alike; warn if that cannot be done."""
    notes = json.dumps({"faults": faults, "checksum": _checksum(images, faults)}).encode()
    try:
        write_atomically(cache, lambda file: np.save(file, images, allow_pickle=False))
        # The notes come last: without them there is no cache.
        write_atomically(cache.with_suffix(".json"), lambda file: file.write(notes))
        for old in cache.parent.glob(f"{stem}*"):
            if old.stem != cache.stem:
                old.unlink(missing_ok=True)
    except OSError as error:
        print_log(
            f"No cache of the decoded images could be written to '{cache.parent}' ({error}); they are decoded in every "
            "run. Name a writable folder with cache_dir=..., or set cache_dir=False.",
            logger="current",
            level=logging.WARNING,
        )


def _checksum(images: np.ndarray, faults: _Faults) -> int:
    """CRC-32 of everything that a cache holds."""
    notes = json.dumps([str(images.dtype), images.shape, faults])
    return zlib.crc32(images.data, zlib.crc32(notes.encode()))


def _decode_all(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], shape: tuple[int, int, int], root: Path
) -> tuple[np.ndarray, _Faults]:
    images = np.zeros((len(files), *shape), dtype=np.uint8)

    def decode_one(index: int) -> str:
        """Fill one image; return the fault of its file, or ''."""
        try:
            image = decode(files[index])
            if image.shape != shape:
                raise ValueError(f"{image.shape[1]}x{image.shape[0]} pixels, not {shape[1]}x{shape[0]}")
            images[index] = image
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder makes of a damaged file
            return describe_error(error)
        return ""

    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(decode_one, range(len(files)))
        tracked = enumerate(track(found, f"decoding '{root}'", "images", len(files)))
        faults = [(index, fault) for index, fault in tracked if fault]
    return (np.delete(images, [index for index, _ in faults], axis=0) if faults else images), faults


def fingerprint(files: Sequence[Path], root: Path, start: bytes = b"") -> str:
    """Digest of the names below ``root``, sizes and modification times of files, and of ``start``."""
    digest = hashlib.sha256(start)
    for path in files:
        try:
            status = path.stat()
        except OSError:  # a link to nowhere
            status = path.lstat()
        digest.update(os.fsencode(path.relative_to(root).as_posix()))
        digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Number and text of each line of a file that is not blank, without the space around it.

    Raises:
        OSError: If there is no such file.
        ValueError: If it is not UTF-8.
    """
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_record(record: Path) -> dict[str, Any]:
    """A JSON file with the results of earlier checks; empty if it is missing or damaged."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def resize_squares(images: np.ndarray, size: int) -> np.ndarray:
    """Resize square images with Pillow's antialiasing bicubic filter; the same size changes nothing.

    Args:
        images: uint8; may be memory-mapped. Shape: (N, S, S, C), C 1 or 3.
        size: New side in pixels.

    Returns:
        uint8. Shape: (N, size, size, C).

    Example:
        >>> resize_squares(np.full((2, 8, 8, 3), 7, dtype=np.uint8), 4)[1, 0, 0].tolist()
        [7, 7, 7]
    """
    from PIL import Image

    if images.shape[1:3] == (size, size):
        return images
    channels = images.shape[-1]

    def resize(image: np.ndarray) -> np.ndarray:
        picture = Image.fromarray(image[..., 0] if channels == 1 else np.ascontiguousarray(image))
        return np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC)).reshape(size, size, channels)

    resized = np.empty((len(images), size, size, channels), dtype=np.uint8)
    with ThreadPoolExecutor(_THREADS) as pool:
        for target, image in zip(resized, pool.map(resize, images), strict=True):
            target[...] = image
    return resized


def describe_resizing(source: int, size: int) -> str:
    """What :func:`resize_squares` does, for a report.

    Example:
        >>> describe_resizing(32, 16)
        '32x32 to 16x16, bicubic, antialiased'
    """
    if size == source:
        return f"{size}x{size} as they are"
    return f"{source}x{source} to {size}x{size}, bicubic, antialiased"
