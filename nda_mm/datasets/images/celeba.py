"""The aligned faces of CelebA."""

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
#: Number of the last image of each split. In the official list, the splits follow each other without a gap.
LAST = (162_770, 182_637, 202_599)
CROPS = (108, 178)


@DATASETS.register_module()
class CelebA(ImageFolder):
    """CelebA: 202,599 aligned photographs of celebrities' faces, 178x218 pixels, read without labels.

    Source: Liu et al., "Deep Learning Face Attributes in the Wild", ICCV 2015,
    https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html.

    ``data_root`` is, or contains, the folder ``img_align_celeba``. It may also contain ``list_eval_partition.txt``;
    without that list, the splits are taken from the official image numbers, which are the same. A centered square of
    each image is resized with an antialiasing bicubic filter. Two squares are in use: 178 pixels, the whole width, and
    108, the face alone. Distances are comparable only for the same square. Images are decoded once and kept in one
    memory-mapped file: 2.0 GB for the training split at 64 pixels.

    Args:
        data_root: Folder of the data; see above.
        split: 'train' (162,770), 'val' (19,867), 'test' (19,962) or 'all'.
        size: Side of the resized squares in pixels.
        crop: Side of the cropped square in pixels, 178 or 108.
        allow_partial: Whether to accept missing images.
        max_bad: See :class:`~nda_mm.datasets.images.image_folder.ImageFolder`.
        kwargs: Other arguments of the same class: ``cache_dir``, ``image_key``, ``pipeline``, ...

    Raises:
        DatasetNotReadableError: If the folder or images of the split are missing; the message says where to get them.
        ValueError: If an argument is invalid, the list is damaged, or too many images are unreadable.

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
                f"of {len(names)} images, {len(missing)} are missing from '{folder}': {shorten(missing)} "
                "(allow_partial=True accepts this)"
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
            "Download img_align_celeba.zip ('Align&Cropped Images') and list_eval_partition.txt (folder Eval) from "
            "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, and run\n"
            f"  python tools/prepare_data.py celeba img_align_celeba.zip {PARTITION}\n"
            "or train a recipe that needs no data: tools/train.py nda_biggan_digits"
        )


def read_partition(path: str | Path) -> list[tuple[str, int]]:
    """Read the list of CelebA's splits.

    Args:
        path: ``list_eval_partition.txt``, with a file name and 0 (train), 1 (val) or 2 (test) in each line.

    Returns:
        File names and split numbers, in the order of the list.

    Raises:
        ValueError: If a line has a different form; the message names it.
    """
    entries = []
    for number, line in read_lines(path):
        name, *part = line.split()
        if part not in (["0"], ["1"], ["2"]):
            raise ValueError(f"'{path}', line {number}: expected a file name and 0, 1 or 2, but got {line[:60]!r}")
        entries.append((name, int(part[0])))
    return entries
