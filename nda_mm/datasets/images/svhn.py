"""Street View House Numbers, from the cropped digits' ``.mat`` files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.resizing import check_size, resize_squares, resizing_of_squares
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset
from .cifar import DatasetNotReadableError

_LARGEST = {"X": 32 * 32 * 3 * 531_131, "y": 531_131}  # of the largest split, 'extra'
_NO_ARRAYS = ("cell", "struct", "object", "function", "opaque", "sparse")
_URL = "http://ufldl.stanford.edu/housenumbers/"


@DATASETS.register_module()
class SVHN(ArrayDataset):
    """SVHN's cropped digits: 32x32 photographs of house numbers, labelled by the digit in the middle.

    Source: Netzer et al., "Reading digits in natural images with unsupervised feature learning", NIPS workshop 2011,
    http://ufldl.stanford.edu/housenumbers/.

    Read from ``SPLIT_32x32.mat`` in ``data_root``, or from ``data_root`` where that is a ``.mat`` file. The file calls
    zero 10; here it is 0. All 26,032 test images take 80 MB.

    Args:
        data_root: The folder, or the file.
        split: ``'train'``, ``'test'`` (default) or ``'extra'``.
        size: Side in pixels that the images are resized to. Default 32: as they are.
        kwargs: ``image_key``, ``every``, ``indices``, ``pipeline``, ... of
            :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        DatasetNotReadableError: If the file is missing, empty, damaged or none of SVHN.
        ModuleNotFoundError: If SciPy is not installed.
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(self, data_root: str = "data/svhn", split: str = "test", *, size: int = 32, **kwargs: Any) -> None:
        if split not in ("train", "test", "extra"):
            raise ValueError(f"split must be 'train', 'test' or 'extra', but got {split!r}")
        self.split = split
        self.size = check_size(size)
        self.resizing = resizing_of_squares(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the file, check what is in it, resize."""
        try:
            from scipy.io import loadmat, whosmat
        except ImportError as error:
            raise ModuleNotFoundError(f"SVHN's files are read by SciPy ({error}): pip install scipy") from error

        root = Path(self.data_root)
        path = root if root.suffix == ".mat" else root / f"{self.split}_32x32.mat"
        if not path.is_file():
            raise self._not_readable(path, "there is no such file")
        try:
            for name, shape, kind in whosmat(path):  # which reads the headers alone
                if name in ("X", "y") and (kind in _NO_ARRAYS or math.prod(shape) > _LARGEST[name]):
                    raise ValueError(f"{name} is {kind} {shape}, which nothing in SVHN is")
            content = loadmat(path, variable_names=("X", "y"))
        except Exception as error:  # whatever SciPy makes of a damaged file
            raise self._not_readable(path, f"it is damaged ({type(error).__name__}: {error})") from error
        if not {"X", "y"} <= set(content):
            found = sorted(name for name in content if not name.startswith("__"))
            raise self._not_readable(path, f"it holds {found or 'nothing'}, not X and y")
        images, labels = np.moveaxis(content["X"], -1, 0), content["y"].ravel()
        if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3) or not len(labels):
            raise self._not_readable(
                path,
                f"X is {content['X'].dtype} {content['X'].shape} and y has {len(labels)} labels, where uint8 "
                "(32, 32, 3, N) and N >= 1 labels belong",
            )
        return resize_squares(np.ascontiguousarray(images), self.size), labels.astype(np.int64) % 10

    def _not_readable(self, path: Path, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"SVHN ({self.split} split) cannot be read from '{path}': {cause}. Fetch {_URL}{self.split}_32x32.mat into "
            "the folder, and name it as data_root."
        )
