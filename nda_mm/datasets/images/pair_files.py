"""Files that hold two images side by side, looked at one by one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nda_mm.datasets.decoding import open_image

__all__ = ["pair_faults"]


def pair_faults(files: Sequence[Path], *, squares: bool = False) -> list[str]:
    """Why each file is no pair, in the order of the files; empty for one that is.

    Args:
        files: Image files; each is decoded once, by several threads.
        squares: Whether the two images must be squares, as the authors of Pix2Pix publish them: a single photograph
            in the place of a pair has an even width more often than not.

    Returns:
        One reason for each file.
    """
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda file: _fault(file, squares), files))


def _fault(file: Path, squares: bool) -> str:
    try:
        with open_image(file) as image:
            image.load()
            width, height = image.size
    except MemoryError:
        raise
    except Exception as error:  # whatever a decoder makes of a damaged file
        return f"{type(error).__name__}: {error}"
    if width % 2:
        return f"{width} pixels wide, which two images of one size cannot be"
    if squares and width != 2 * height:
        return f"{width}x{height} pixels, which two squares side by side cannot be"
    return ""
