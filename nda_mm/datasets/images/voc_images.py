"""Readers for the PASCAL VOC layout, and its images without boxes as a data set to pretrain a detector."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import decode_images, open_image, read_lines
from nda_mm.datasets.report import refuse_or_warn
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset

_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")


def read_image_set(path: str | Path) -> list[str]:
    """Read the names in the list of an image set.

    Args:
        path: File with one name per line, without suffix; a label of -1, 0 or 1 after the name is ignored.

    Returns:
        The names, in order.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it lists no images.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"the list of images '{path}' does not exist (tools/prepare_data.py unpacks the data sets that it supports)"
        )
    names = [re.sub(r"\s+-?[01]$", "", line) for _, line in read_lines(path)]
    if not names:
        raise ValueError(f"the list of images '{path}' is empty")
    return names


def find_image(folder: Path, name: str) -> Path:
    """Return the image file for a name without suffix, JPEG before PNG and BMP; NAME.jpg if there is none."""
    paths = [folder / f"{name}{suffix}" for suffix in _SUFFIXES]
    return next((path for path in paths if path.is_file()), paths[0])


@DATASETS.register_module()
class VOCImages(ArrayDataset):
    """The images of one image set in PASCAL VOC layout, resized to one size; annotations are not read.

    Use it to pretrain without labels on nothing but a detector's own training images. All labels are 0, the class
    'image'. Images are rotated upright and resized to fill ``size``; the excess on two sides is cropped.

    Args:
        data_root: Folder with ``JPEGImages`` and ``ImageSets/Main``.
        split: Name of the list in ``ImageSets/Main``, such as 'train' or 'trainval'.
        size: (height, width) of every image in pixels. N images take ``3 * height * width * N`` bytes.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ``indices``, ...

    Raises:
        FileNotFoundError: If the list is missing.
        ValueError: If the list is empty, or images that it names are missing or unreadable.

    Example:
        In a config of mmpretrain::

            dataset=dict(type="nda_mm.VOCImages", data_root="data/bccd", split="train", size=(224, 299),
                         image_key="img", pipeline=[...])
    """

    METAINFO = {"classes": ("image",)}

    def __init__(self, data_root: str, split: str = "train", *, size: tuple[int, int], **kwargs: Any) -> None:
        self.split = split
        self.size = (int(size[0]), int(size[1]))
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Decode every image of the list, which takes milliseconds per image."""
        root = Path(self.data_root)
        listed = root / "ImageSets" / "Main" / f"{self.split}.txt"
        names = read_image_set(listed)
        files = [find_image(root / "JPEGImages", name) for name in names]
        decoded = decode_images(files, self._read, (*self.size, 3), root=root, name=self.split, cache_dir=False)
        refuse_or_warn(f"images of '{listed}' cannot be read", decoded.bad, len(names), max_bad=0)
        return decoded.images, np.zeros(len(decoded.images), dtype=np.int64)

    def _read(self, path: Path) -> np.ndarray:
        from PIL import Image, ImageOps

        with open_image(path) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        return np.asarray(ImageOps.fit(image, self.size[::-1], Image.Resampling.BICUBIC))
