"""MNIST's handwritten digits, as an OOD data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .array_dataset import ArrayDataset, DatasetNotReadableError


@DATASETS.register_module()
class MNIST(ArrayDataset):
    """MNIST: 28x28 gray handwritten digits, 60,000 to train and 10,000 to test; three equal channels here.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    The files are read by torchvision.

    Args:
        data_root: The folder above ``MNIST/raw``, with ``t10k-images-idx3-ubyte`` and so on.
        split: ``'train'`` or ``'test'`` (default).
        kwargs: ``image_key``, ``every``, ``indices``, ``pipeline``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        DatasetNotReadableError: If a file is missing or damaged.

    Example:
        >>> MNIST("data/mnist", lazy_init=True).metainfo["classes"][3]
        '3'
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(self, data_root: str = "data/mnist", split: str = "test", **kwargs: Any) -> None:
        check_choice(split, "split", ("train", "test"))
        self.split = split
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the two files of the split."""
        from torchvision import datasets

        raw = Path(self.data_root) / "MNIST" / "raw"
        try:
            data = datasets.MNIST(self.data_root, train=self.split == "train")
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise DatasetNotReadableError(
                f"MNIST ({self.split} split) cannot be read from '{raw}': {error}. Its files are published at "
                f"{datasets.MNIST.mirrors[-1]}"
            ) from error
        return np.repeat(data.data.numpy()[..., None], 3, axis=-1), data.targets.numpy()
