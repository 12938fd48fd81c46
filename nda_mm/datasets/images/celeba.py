"""CelebA, aligned faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import read_lines
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.messages import shorten

from .array_dataset import DatasetNotReadableError
from .image_folder import ImageFolder

FOLDER, PARTITION = "img_align_celeba", "list_eval_partition.txt"
SPLITS = ("train", "val", "test")
#: The last image of each split, by number: the official list gives them in this order, without a gap.
LAST = (162_770, 182_637, 202_599)
CROPS = (108, 178)


@DATASETS.register_module()
class CelebA(ImageFolder):
    """CelebA: 202,599 photographs of celebrities' faces, aligned, 178x218 pixels, without labels here.

    Source: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015,
    https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.

    ``data_root`` holds the folder ``img_align_celeba`` (or is it) and, optionally, ``list_eval_partition.txt``; without
    that list, the splits are taken by the official numbers, which are the same. A centered square of each image is
    scaled with an antialiasing bicubic filter. Two squares are in use, and distances compare only within one: 178
    pixels, the whole width, and 108, the face alone. Images are decoded once and kept in one memory-mapped file: 2.0 GB
    for the training split at 64 pixels.

    Args:
        data_root: See above.
        split: 'train' (162,770), 'val' (19,867), 'test' (19,962) or 'all'.
        size: Side of the squares that are made, in pixels.
        crop: Side of the square that is cut out: 178 or 108 pixels.
        allow_partial: Accept that images of the split are missing.
        max_bad: See :class:`~nda_mm.datasets.images.image_folder.ImageFolder`.
        kwargs: ``cache_dir``, ``image_key``, ``pipeline``, ... of the same.

    Raises:
        DatasetNotReadableError: If the folder or images of the split are missing; it says where to get them.
        ValueError: If a setting is unknown, the list is damaged, or too many images are unreadable.

    Example:
        >>> CelebA("data/celeba", split="test", size=64, lazy_init=True).crop
        178
    """

    def __init__(
        self,
        data_root: str = "data/celeba",
        split: str = "train",
        *,
        size: int = 64,
        crop: int = 178,
        allow_partial: bool = False,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", (*SPLITS, "all"))
        check_choice(crop, "crop", CROPS)
        self.crop = crop
        self.cache_name = f"{split}_crop{crop}"
        self.allow_partial = allow_partial
        super().__init__(data_root, split, size=size, with_labels=False, **kwargs)

    def _folder(self) -> Path:
        root = Path(self.data_root)
        folder = root if root.name == FOLDER else root / FOLDER
        if not folder.is_dir():
            raise self._not_readable(f"there is no folder '{folder}'")
        return folder

    def _list(self, folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        self.labeled = False
        names = self._names(folder)
        there = {entry.name for entry in folder.iterdir()}
        missing = [name for name in names if name not in there]
        if len(missing) == len(names) or (missing and not self.allow_partial):
            raise self._not_readable(
                f"of {len(names)} images {len(missing)} are missing from '{folder}': {shorten(missing)} "
                "(allow_partial=True accepts that)"
            )
        files = [folder / name for name in names if name in there]
        return files, np.zeros(len(files)), ("face",)

    def _names(self, folder: Path) -> list[str]:
        parts = range(3) if self.split == "all" else (SPLITS.index(self.split),)
        for place in (folder.parent, folder):
            if (place / PARTITION).is_file():
                return [name for name, part in read_partition(place / PARTITION) if part in parts]
        first = (1, *(last + 1 for last in LAST))
        return [f"{number:06d}.jpg" for part in parts for number in range(first[part], LAST[part] + 1)]

    def _not_readable(self, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"CelebA ({self.split} split) cannot be read from '{self.data_root}': {cause}.\n"
            "Get img_align_celeba.zip ('Align&Cropped Images') and, from the folder Eval, list_eval_partition.txt at "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, and run\n"
            f"  python tools/prepare_data.py celeba img_align_celeba.zip {PARTITION}\n"
            "or train where no data are needed: tools/train.py nda_biggan_digits"
        )


def read_partition(path: str | Path) -> list[tuple[str, int]]:
    """Read the list of CelebA's splits.

    Args:
        path: ``list_eval_partition.txt``: in each line a file name and 0 (train), 1 (val) or 2 (test).

    Returns:
        Names and numbers, in the list's order.

    Raises:
        ValueError: If a line has another form; it is named.
    """
    entries = []
    for number, line in read_lines(path):
        name, *part = line.split()
        if part not in (["0"], ["1"], ["2"]):
            raise ValueError(f"'{path}' is damaged: line {number}, {line[:60]!r}, is no file name with 0, 1 or 2")
        entries.append((name, int(part[0])))
    return entries
