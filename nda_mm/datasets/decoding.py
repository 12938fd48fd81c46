"""Find, check and decode image files; decoded images are kept as one array in a memory-mapped cache."""

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
#: Index of each bad file and its fault.
_Faults = Sequence[tuple[int, str]]
_ORIENTATION = 0x0112  # EXIF tag; values of 5 and more are quarter turns


@dataclass(frozen=True)
class DecodedImages:
    """Result of :func:`decode_images`: ``images[i]`` is from file ``kept[i]``; ``bad`` lists (file, reason) pairs."""

    images: np.ndarray
    kept: np.ndarray
    bad: list[tuple[str, str]]


def is_image(name: str) -> bool:
    """Return whether a file name looks like an image. Hidden files (and macOS's ``._`` companions) do not.

    Example:
        >>> is_image("a.PNG"), is_image("._a.png"), is_image("notes.txt")
        (True, False, False)
    """
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def class_folders(folder: Path) -> dict[str, list[Path]]:
    """Return the sorted image files of each direct subfolder that has any; subfolders are in alphabetical order."""
    found = {printable(name): image_files(folder / name) for name in subfolders(folder)}
    return {name: files for name, files in found.items() if files}


def image_files(folder: Path) -> list[Path]:
    """Return all entries below a folder that are named like images, sorted by path."""
    return files_below(folder, is_image)


def open_image(path: str | Path) -> Any:
    """Open an image with Pillow, for use in a ``with`` statement.

    Raises:
        OSError: If :func:`~nda_mm.utils.files.check_file` refuses the path, or Pillow cannot identify the image.
    """
    from PIL import Image

    check_file(path)
    return Image.open(path)


def image_size(path: str | Path, *, decode: bool = True) -> tuple[int, int]:
    """Return the width and height of an image after applying its EXIF orientation.

    Args:
        path: Image file.
        decode: Whether to read the whole file, which finds truncated files and takes milliseconds, or only its header.

    Raises:
        FileNotFoundError: If the file does not exist.
        OSError: If the file is damaged or not an image.
    """
    try:
        with open_image(path) as image:
            width, height = image.size
            sideways = image.getexif().get(_ORIENTATION, 1) >= 5
            if decode:
                image.draft("RGB", (32, 32))  # reads all bytes of a JPEG, but decodes few pixels
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
    """Decode files with a pool of threads, or memory-map the array that an earlier call has written.

    The cache is one ``.npy`` file. Its name contains a fingerprint of the file list (names, sizes, modification times),
    of ``name`` and of ``shape``: any change of the data creates a new cache and removes the old one. A JSON file next
    to it lists the bad files, and has a checksum of this list and the array that is verified at each start (about a
    second for 2 GB). Both files are written under temporary names and renamed, so no process ever sees a partial file,
    and several processes may write at once.

    Args:
        files: Files below ``root``, in the desired order.
        decode: Function that turns one file into a uint8 array of ``shape``. If it raises, the file is reported as bad.
        shape: (H, W, C) of every image.
        root: Folder that the fingerprinted names are relative to.
        name: Distinguishes the caches of one folder, e.g. 'train'; part of the cache's file name.
        cache_dir: Folder for the cache. True uses ``.nda_mm_cache`` inside ``root``; False disables the cache.

    Returns:
        The images (memory-mapped and read-only if a cache could be written), the indices of their files, and the bad
        files.
    """
    found = None
    if cache_dir is not False:
        folder = root / CACHE_FOLDER if cache_dir is True else Path(cache_dir)
        # In a shared cache folder, two data sets with the same split name must not evict each other.
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
    """Return what :func:`_write_cache` has written, or None if it is missing or damaged."""
    try:
        notes = json.loads(cache.with_suffix(".json").read_text())
        images = np.load(cache, mmap_mode="r", allow_pickle=False)
        if notes["checksum"] != _checksum(images, notes["faults"]):
            raise ValueError("its checksum is wrong")
        return images, notes["faults"]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # whatever JSON and numpy raise for a damaged file
        print_log(
            f"The cache '{cache}' is damaged ({describe_error(error)}) and is replaced.", "current", logging.WARNING
        )
        return None


def _write_cache(cache: Path, stem: str, images: np.ndarray, faults: _Faults) -> None:
    """Write a cache and remove outdated ones, whose names also start with ``stem``; warn if this fails."""
    notes = json.dumps({"faults": faults, "checksum": _checksum(images, faults)}).encode()
    try:
        write_atomically(cache, lambda file: np.save(file, images, allow_pickle=False))
        # The notes come last: an array without notes is not used.
        write_atomically(cache.with_suffix(".json"), lambda file: file.write(notes))
        for old in cache.parent.glob(f"{stem}*"):
            if old.stem != cache.stem:
                old.unlink(missing_ok=True)
    except OSError as error:
        print_log(
            f"The decoded images could not be cached in '{cache.parent}' ({error}); they are decoded in every run. "
            "Set cache_dir to a writable folder, or to False.",
            logger="current",
            level=logging.WARNING,
        )


def _checksum(images: np.ndarray, faults: _Faults) -> int:
    """Return the CRC-32 of everything in a cache."""
    notes = json.dumps([str(images.dtype), images.shape, faults])
    return zlib.crc32(images.data, zlib.crc32(notes.encode()))


def _decode_all(
    files: Sequence[Path], decode: Callable[[Path], np.ndarray], shape: tuple[int, int, int], root: Path
) -> tuple[np.ndarray, _Faults]:
    images = np.zeros((len(files), *shape), dtype=np.uint8)

    def decode_one(index: int) -> str:
        """Decode one image into the array; return the fault of its file, or ''."""
        try:
            image = decode(files[index])
            if image.shape != shape:
                raise ValueError(f"{image.shape[1]}x{image.shape[0]} pixels, not {shape[1]}x{shape[0]}")
            images[index] = image
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder raises for a damaged file
            return describe_error(error)
        return ""

    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(decode_one, range(len(files)))
        tracked = enumerate(track(found, f"decoding '{root}'", "images", len(files)))
        faults = [(index, fault) for index, fault in tracked if fault]
    return (np.delete(images, [index for index, _ in faults], axis=0) if faults else images), faults


def fingerprint(files: Sequence[Path], root: Path, start: bytes = b"") -> str:
    """Return a digest of ``start`` and of the names relative to ``root``, sizes and modification times of files."""
    digest = hashlib.sha256(start)
    for path in files:
        try:
            status = path.stat()
        except OSError:  # a broken link
            status = path.lstat()
        digest.update(os.fsencode(path.relative_to(root).as_posix()))
        digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:24]


def read_lines(path: str | Path) -> list[tuple[int, str]]:
    """Return the number and the stripped text of each line of a file that is not blank.

    Raises:
        OSError: If the file is missing or not a regular file.
        ValueError: If the file is not UTF-8.
    """
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def read_record(record: Path) -> dict[str, Any]:
    """Read the results of earlier checks from a JSON file; empty if it is missing or damaged."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def resize_squares(images: np.ndarray, size: int) -> np.ndarray:
    """Resize square images with Pillow's antialiasing bicubic filter; images of that size are returned unchanged.

    Args:
        images: uint8 images; may be memory-mapped. Shape: (N, S, S, C), with C of 1 or 3.
        size: New side in pixels.

    Returns:
        uint8 images. Shape: (N, size, size, C).

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
    """Describe what :func:`resize_squares` does, for a report.

    Example:
        >>> describe_resizing(32, 16)
        '32x32 to 16x16, bicubic, antialiased'
    """
    if size == source:
        return f"{size}x{size} as they are"
    return f"{source}x{source} to {size}x{size}, bicubic, antialiased"
