"""Street View House Numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import describe_resizing, resize_squares
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset, DatasetNotReadableError


@DATASETS.register_module()
class SVHN(ArrayDataset):
    """SVHN's cropped digits: 32x32 photographs of house numbers, labeled by the digit in the middle.

    Source: Netzer et al., "Reading digits in natural images with unsupervised feature learning", NIPS workshop 2011,
    http://ufldl.stanford.edu/housenumbers/.

    ``SPLIT_32x32.mat`` is read, and its checksum verified, by torchvision and SciPy. All 26,032 test images take 80 MB.

    Args:
        data_root: The folder of the ``.mat`` files, or one of them.
        split: ``'train'``, ``'test'`` (default) or ``'extra'``.
        size: Side in pixels that the images are resized to. Default 32: as they are.
        kwargs: ``image_key``, ``every``, ``indices``, ``pipeline``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        DatasetNotReadableError: If the file is missing, damaged, or another than the published one.
        ModuleNotFoundError: If SciPy is not installed.
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(self, data_root: str = "data/svhn", split: str = "test", *, size: int = 32, **kwargs: Any) -> None:
        if split not in ("train", "test", "extra"):
            raise ValueError(f"split must be 'train', 'test' or 'extra', but got {split!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size!r}")
        self.split = split
        self.size = size
        self.resizing = describe_resizing(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the file, and resize."""
        from torchvision import datasets

        root = Path(self.data_root)
        folder = root.parent if root.suffix == ".mat" else root
        url, name, md5 = datasets.SVHN.split_list[self.split]
        try:
            data = datasets.SVHN(str(folder), self.split)
        except RuntimeError as error:
            cause = f"its MD5 is not {md5}" if (folder / name).is_file() else "there is no such file"
            raise DatasetNotReadableError(
                f"SVHN ({self.split} split) cannot be read from '{folder / name}': {cause}. Download {url}"
            ) from error
        images = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
        return resize_squares(images, self.size), data.labels
