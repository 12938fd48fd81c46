"""STL-10, from its binary files or from folders."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset
from .cifar import DatasetNotReadableError
from .image_folder import ImageFolder

FOLDER = "stl10_binary"
SIDE = 96
#: Images of each part.
PARTS = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
_CHUNK = 500


@DATASETS.register_module()
class STL10(ArrayDataset):
    """STL-10: 96x96 photographs, 5,000 to train and 8,000 to test in 10 classes, and 100,000 without labels.

    Source: Coates et al., "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    https://cs.stanford.edu/~acoates/stl10/.

    ``data_root`` holds the folder ``stl10_binary`` (or is it), with ``train_X.bin``, ``train_y.bin``, ``test_X.bin``,
    ``test_y.bin`` and ``unlabeled_X.bin``; or images in folders: ``train/CLASS/*.png``, ``test/CLASS/*.png``,
    ``unlabeled/*.png``. Other sizes than 96 are made with an antialiasing bicubic filter, at each start: 48 pixels take
    about 0.2 ms an image and a core, and the unlabelled images 691 MB.

    Args:
        data_root: See above.
        split: 'train', 'test', 'unlabeled' or 'train+unlabeled'. Where unlabelled images are among them, no item
            carries a label.
        size: Side of the images in pixels.
        allow_partial: Accept other than the official number of images.
        kwargs: ``image_key``, ``pipeline``, ``indices``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        DatasetNotReadableError: If files are missing, truncated or incomplete; it says how to get them.
        ValueError: If a setting is unknown.

    Example:
        >>> STL10("data/stl10", split="test", lazy_init=True).metainfo["classes"][2]
        'car'
    """

    METAINFO = {"classes": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")}

    def __init__(
        self,
        data_root: str = "data/stl10",
        split: str = "unlabeled",
        *,
        size: int = 48,
        allow_partial: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in (*PARTS, "train+unlabeled"):
            raise ValueError(f"split must be one of {(*PARTS, 'train+unlabeled')}, but got {split!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size}")
        self.split = split
        self.size = size
        self.allow_partial = allow_partial
        self.labelled = "unlabeled" not in split
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read and scale the parts of the split."""
        parts = [self._part(name) for name in self.split.split("+")]
        images = np.concatenate([images for images, _ in parts])
        if not self.labelled:
            return images, np.zeros(len(images), dtype=np.int64)
        return images, parts[0][1]

    def _part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        root = Path(self.data_root)
        folder = root if root.name == FOLDER else root / FOLDER
        if (folder / f"{name}_X.bin").is_file():
            images, labels = self._binary(folder, name)
        elif (root / name).is_dir():
            images, labels = self._folders(root / name, name)
        else:
            raise self._not_readable(f"there is no '{folder}/{name}_X.bin' and no folder '{root / name}'")
        if len(images) != PARTS[name] and not self.allow_partial:
            raise self._not_readable(
                f"its part '{name}' has {PARTS[name]} images, but found are {len(images)} (allow_partial=True accepts "
                "a part of the data)"
            )
        return images, labels

    def _binary(self, folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        path = folder / f"{name}_X.bin"
        size = path.stat().st_size
        if not size or size % (3 * SIDE * SIDE):
            raise self._not_readable(
                f"'{path}' is truncated or damaged: {size} bytes are no whole number of images of {3 * SIDE * SIDE}"
            )
        images = resize(read_pixels(path), self.size)
        if name == "unlabeled":
            return images, np.zeros(len(images), dtype=np.int64)
        labels = folder / f"{name}_y.bin"
        if not labels.is_file():
            raise self._not_readable(f"there is no '{labels}' beside '{path}'")
        numbers = np.fromfile(labels, dtype=np.uint8).astype(np.int64)
        if len(numbers) != len(images) or numbers.min() < 1 or numbers.max() > len(self.METAINFO["classes"]):
            raise self._not_readable(
                f"'{labels}' is truncated or damaged: it must hold a number from 1 to 10 for each of {len(images)} "
                f"images, but holds {len(numbers)} from {numbers.min(initial=255)} to {numbers.max(initial=0)}"
            )
        return images, numbers - 1

    def _folders(self, folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        data = ImageFolder(str(folder), size=self.size, with_labels=name != "unlabeled")
        if name != "unlabeled" and data.metainfo["classes"] != self.METAINFO["classes"]:
            raise self._not_readable(
                f"the folders in '{folder}' must be the classes {', '.join(self.METAINFO['classes'])}, but are "
                f"{', '.join(data.metainfo['classes'][:12])}"
            )
        return data.images, data.labels

    def _not_readable(self, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"STL-10 ({self.split} split) cannot be read from '{self.data_root}': {cause}.\n"
            "Any of these mends it:\n"
            "  1. python tools/prepare_data.py stl10 stl10_binary.tar.gz, or --download (2.6 GB), which checks and "
            "unpacks it\n"
            f"  2. put images at '{self.data_root}/train/airplane/*.png', ..., '{self.data_root}/unlabeled/*.png'\n"
            "or train where no data are needed: tools/train.py nda_biggan_digits"
        )


def read_pixels(path: str | Path) -> np.ndarray:
    """The images of one of the binary files, mapped, not read.

    The files hold, for each image, all red values, then all green, then all blue, and of each colour one column after
    the other.

    Args:
        path: ``*_X.bin``.

    Returns:
        uint8 RGB. Shape: (N, 96, 96, 3).
    """
    stored = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, SIDE, SIDE)  # (image, colour, column, row)
    return stored.transpose(0, 3, 2, 1)


def resize(images: np.ndarray, size: int) -> np.ndarray:
    """Scale square images with Pillow's antialiasing bicubic filter.

    Args:
        images: uint8 RGB; may be mapped.
        size: New side in pixels; the old one copies.

    Shape:
        (N, S, S, 3) to (N, size, size, 3).

    Returns:
        uint8, in memory.
    """
    from PIL import Image

    out = np.empty((len(images), size, size, 3), dtype=np.uint8)

    def work(start: int) -> None:
        chunk = np.ascontiguousarray(images[start : start + _CHUNK])
        for index, image in enumerate(chunk, start):
            if size != chunk.shape[1]:
                image = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC))
            out[index] = image

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(work, range(0, len(images), _CHUNK)))  # a list, so that errors are raised
    return out
