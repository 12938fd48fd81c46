"""CIFAR-10-C: the test images of CIFAR-10 under common corruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..registry import DATASETS
from .array_dataset import ArrayDataset
from .cifar import CIFAR10, DatasetNotReadableError
from .resizing import check_size, resize_squares, resizing_of_squares

CORRUPTIONS = (
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
)  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)


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
            :class:`~nda_mm.datasets.array_dataset.ArrayDataset`.

    Raises:
        ValueError: If the corruption or the severity is none of them.
        DatasetNotReadableError: If a file is missing, damaged, or of another shape.
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
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, but got {corruption!r}")
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {SEVERITIES}, but got {severity!r}")
        self.corruption = corruption
        self.severity = severity
        self.size = check_size(size)
        self.resizing = resizing_of_squares(32, size)
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read one fifth of two files."""
        images, labels = self._open(f"{self.corruption}.npy"), self._open("labels.npy")
        count = len(labels) // len(SEVERITIES)
        if labels.ndim != 1 or not count or len(labels) % len(SEVERITIES) or labels.dtype.kind not in "iu":
            raise self._not_readable(
                "labels.npy", f"it is {labels.dtype} {labels.shape}, not 5 times N >= 1 whole numbers"
            )
        if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3):
            raise self._not_readable(
                f"{self.corruption}.npy",
                f"it is {images.dtype} {images.shape}, where uint8 ({len(labels)}, 32, 32, 3) belongs, an image to "
                "each label",
            )
        rows = slice((self.severity - 1) * count, self.severity * count)
        return resize_squares(np.array(images[rows]), self.size), np.array(labels[rows], dtype=np.int64)

    def _open(self, name: str) -> np.ndarray:
        path = Path(self.data_root) / name
        if not path.is_file():
            raise self._not_readable(name, "there is no such file")
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise self._not_readable(name, f"it is damaged ({error})") from error

    def _not_readable(self, name: str, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"CIFAR-10-C ({self.corruption}, severity {self.severity}) cannot be read from "
            f"'{Path(self.data_root) / name}': {cause}. Fetch CIFAR-10-C.tar from "
            "https://zenodo.org/records/2535967, unpack it, and name the folder of its .npy files as data_root."
        )
