"""CIFAR-10-C: the test images of CIFAR-10 under common corruptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.resizing import check_size, resize_squares, resizing_of_squares
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset
from .cifar import CIFAR10, DatasetNotReadableError

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
            :class:`~nda_mm.datasets.ArrayDataset`.

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
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read one fifth of two files."""
        root, name = Path(self.data_root), "labels.npy"
        try:
            labels = _open_labels(root / name)
            name = f"{self.corruption}.npy"
            images = _open_images(root / name, len(labels))
        except ValueError as error:
            raise self._not_readable(name, str(error)) from error
        count = len(labels) // len(SEVERITIES)
        rows = slice((self.severity - 1) * count, self.severity * count)
        return resize_squares(np.array(images[rows]), self.size), np.array(labels[rows], dtype=np.int64)

    def _not_readable(self, name: str, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"CIFAR-10-C cannot be read from '{Path(self.data_root) / name}': {cause}. Fetch CIFAR-10-C.tar from "
            "https://zenodo.org/records/2535967, let tools/prepare_data.py cifar10_c unpack it, and name the folder of "
            "its .npy files as data_root."
        )


def cifar10_c_faults(root: Path) -> tuple[int, list[tuple[str, str]]]:
    """Look at all 20 files of CIFAR-10-C, without reading their images.

    Args:
        root: The folder of the ``.npy`` files.

    Returns:
        Number of images in a file, 0 where ``labels.npy`` does not say it; and every file that cannot be used, with the
        reason.
    """
    count, bad = 0, []
    for name in ("labels", *CORRUPTIONS):
        path = root / f"{name}.npy"
        try:
            if name == "labels":
                count = len(_open_labels(path))
            else:
                _open_images(path, count)
        except ValueError as error:
            bad.append((path.name, str(error)))
    return count, bad


def _open(path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError("there is no such file")
    try:
        array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"it is damaged ({error})") from error
    return array


def _open_labels(path: Path) -> np.ndarray:
    labels = _open(path)
    if labels.ndim != 1 or not len(labels) or len(labels) % len(SEVERITIES) or labels.dtype.kind not in "iu":
        raise ValueError(f"it is {labels.dtype} {labels.shape}, not 5 times N >= 1 whole numbers")
    return labels


def _open_images(path: Path, count: int) -> np.ndarray:
    """With an image for each of ``count`` labels; 0: any number of them."""
    images = _open(path)
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or (count and len(images) != count):
        raise ValueError(
            f"it is {images.dtype} {images.shape}, where uint8 ({count or 'N'}, 32, 32, 3) belongs, an image to each "
            "label"
        )
    return images
