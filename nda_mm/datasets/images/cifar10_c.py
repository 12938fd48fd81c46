"""CIFAR-10-C: the test images of CIFAR-10 under common corruptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import describe_resizing, resize_squares
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, check_file
from nda_mm.utils.messages import describe_error

from .array_dataset import ArrayDataset, DatasetNotReadableError
from .torchvision_images import CIFAR10

CORRUPTIONS = (
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
)  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)
URL = "https://zenodo.org/records/2535967"


@DATASETS.register_module()
class CIFAR10C(ArrayDataset):
    """One of CIFAR-10-C's 19 corruptions at one of its 5 severities: 10,000 images.

    Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
    ICLR 2019, https://arxiv.org/abs/1903.12261; data: https://zenodo.org/records/2535967.

    ``data_root`` holds ``CORRUPTION.npy``, uint8 (50000, 32, 32, 3), the five severities one after the other, and
    ``labels.npy``. Only the rows of one severity are read, 31 MB of 154.

    Args:
        data_root: The folder.
        corruption: One of :data:`CORRUPTIONS`.
        severity: 1 (weak) to 5.
        size: Side in pixels that the images are resized to. Default 32: as they are.
        kwargs: ``image_key``, ``every``, ``indices``, ``pipeline``, ... of
            :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        ValueError: If the corruption or the severity is none of them.
        DatasetNotReadableError: If a file is missing, damaged, or of another shape.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.CIFAR10C', corruption='fog', severity=3))
    """

    METAINFO = CIFAR10.METAINFO

    def __init__(
        self,
        data_root: str = "data/CIFAR-10-C",
        corruption: str = "gaussian_noise",
        severity: int = 1,
        *,
        size: int = 32,
        **kwargs: Any,
    ) -> None:
        check_choice(corruption, "corruption", CORRUPTIONS)
        check_choice(severity, "severity", SEVERITIES)
        self.corruption = corruption
        self.severity = severity
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size!r}")
        self.size = size
        self.resizing = describe_resizing(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read one fifth of two files."""
        labels = self._open("labels", _are_labels)
        images = self._open(self.corruption, lambda array: _are_images(array, len(labels)))
        count = len(labels) // len(SEVERITIES)
        rows = slice((self.severity - 1) * count, self.severity * count)
        return resize_squares(np.array(images[rows]), self.size), np.array(labels[rows], dtype=np.int64)

    def _open(self, name: str, fits: Callable[[np.ndarray], bool]) -> np.ndarray:
        """Map a file without reading its content, after a look at what it holds."""
        path = Path(self.data_root, f"{name}.npy")
        try:
            check_file(path)
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
            if not fits(array):
                raise ValueError(f"it holds {array.dtype} {array.shape}")
            return array
        except (OSError, ValueError, EOFError) as error:
            raise DatasetNotReadableError(
                f"CIFAR-10-C cannot be read from '{self.data_root}': {path.name}: {describe_error(error)}. Download "
                f"CIFAR-10-C.tar from {URL} and run tools/prepare_data.py cifar10_c CIFAR-10-C.tar"
            ) from error


def _are_labels(array: np.ndarray) -> bool:
    return array.ndim == 1 and len(array) > 0 and len(array) % len(SEVERITIES) == 0 and array.dtype.kind in "iu"


def _are_images(array: np.ndarray, count: int) -> bool:
    return array.dtype == np.uint8 and array.shape == (count, 32, 32, 3)
