"""CIFAR-10-C: the test images of CIFAR-10 under common corruptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import describe_resizing, resize_squares
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
        if corruption not in CORRUPTIONS:
            raise ValueError(f"corruption must be one of {', '.join(CORRUPTIONS)}, but got {corruption!r}")
        if severity not in SEVERITIES:
            raise ValueError(f"severity must be one of {SEVERITIES}, but got {severity!r}")
        self.corruption = corruption
        self.severity = severity
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size!r}")
        self.size = size
        self.resizing = describe_resizing(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read one fifth of two files."""
        files, bad = open_cifar10_c(Path(self.data_root), ("labels", self.corruption))
        if bad:
            raise DatasetNotReadableError(
                f"CIFAR-10-C cannot be read from '{self.data_root}': {'; '.join(': '.join(each) for each in bad)}. "
                "Download CIFAR-10-C.tar from https://zenodo.org/records/2535967 and run "
                "tools/prepare_data.py cifar10_c CIFAR-10-C.tar"
            )
        count = len(files["labels"]) // len(SEVERITIES)
        rows = slice((self.severity - 1) * count, self.severity * count)
        images = resize_squares(np.array(files[self.corruption][rows]), self.size)
        return images, np.array(files["labels"][rows], dtype=np.int64)


def open_cifar10_c(root: Path, names: Sequence[str]) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """Open files of CIFAR-10-C without reading their images.

    Args:
        root: The folder of the ``.npy`` files.
        names: Names without ending; "labels" comes first.

    Returns:
        The memory-mapped arrays by name, and (file, reason) for each that is missing, damaged, or of another shape.
    """
    files: dict[str, np.ndarray] = {}
    bad = []
    for name in names:
        path = root / f"{name}.npy"
        try:
            check_file(path)
            array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            bad.append((path.name, describe_error(error)))
            continue
        if name == "labels":
            fits = array.ndim == 1 and len(array) and len(array) % len(SEVERITIES) == 0 and array.dtype.kind in "iu"
        else:
            fits = array.dtype == np.uint8 and array.shape[1:] == (32, 32, 3)
            fits = fits and ("labels" not in files or len(array) == len(files["labels"]))
        if fits:
            files[name] = array
        else:
            bad.append((path.name, f"it holds {array.dtype} {array.shape}"))
    return files, bad
