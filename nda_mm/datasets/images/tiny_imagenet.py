"""Tiny ImageNet as it is distributed: validation images in one folder, their classes in a list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import class_folders, image_files
from nda_mm.registry import DATASETS
from nda_mm.utils.files import printable, read_text

from .public_folders import KnownFolder


@DATASETS.register_module()
class TinyImageNet(KnownFolder):
    """Tiny ImageNet: 64x64 photographs in 200 classes, 100,000 to train and 10,000 to validate.

    Source: Stanford CS231n, http://cs231n.stanford.edu/tiny-imagenet-200.zip. Classes are those of ``wnids.txt``, in
    alphabetical order.

    Args:
        data_root: The folder of ``wnids.txt``, above ``val/images/*.JPEG`` with ``val/val_annotations.txt``, and
            ``train/WNID/images/*.JPEG``. Validation images that were sorted into ``val/WNID`` are found too.
        split: ``'val'`` (default) or ``'train'``.
        size: Side in pixels: scaled (bicubic, antialiased). Default 32.
        kwargs: As of :class:`~nda_mm.datasets.images.public_folders.KnownFolder`.

    Raises:
        DatasetNotReadableError: If a list is missing or does not fit, there are no images or none that can be read.
    """

    title = "Tiny ImageNet"
    layout = "val/images/*.JPEG"
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"

    def __init__(
        self, data_root: str = "data/tiny-imagenet-200", split: str = "val", *, size: int = 32, **kwargs: Any
    ) -> None:
        if split not in ("val", "train"):
            raise ValueError(f"split must be 'val' or 'train' (the test images have no labels), but got {split!r}")
        super().__init__(data_root, split, size=size, **kwargs)

    def _list(self, folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        classes = tuple(sorted(_lines(folder.parent / "wnids.txt")))
        number = {name: index for index, name in enumerate(classes)}
        if (folder / "images").is_dir():
            notes = dict(line.split("\t")[:2] for line in _lines(folder / "val_annotations.txt") if "\t" in line)
            found = {path: notes.get(path.name, "") for path in image_files(folder / "images")}
        else:
            found = {path: name for name, paths in class_folders(folder).items() for path in paths}
        if not found:
            raise FileNotFoundError(f"'{folder}' holds no images")
        unknown = sorted(printable(path.name) for path, name in found.items() if name not in number)
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(found)} images in '{folder}' (the first is {unknown[0]}) are of no class of "
                "wnids.txt, or not listed in val_annotations.txt"
            )
        return list(found), np.array([number[name] for name in found.values()], dtype=np.int64), classes


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    return [line for line in read_text(path).splitlines() if line.strip()]
