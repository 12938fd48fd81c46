"""Images of noise: the OOD data sets that every method should tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from nda_mm.datasets.images.array_dataset import ArrayDataset
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

KINDS = ("uniform", "gaussian")


@DATASETS.register_module()
class NoiseImages(ArrayDataset):
    """Noise without structure, an OOD data set that needs no download.

    * ``'uniform'``: every value of every pixel and channel is equally likely.
    * ``'gaussian'``: normal with mean 0.5 and standard deviation 1 of the range of pixels, clipped to it.

    Source: the two noise sets of Liang et al., "Enhancing the Reliability of Out-of-distribution Image Detection in
    Neural Networks", ICLR 2018, https://arxiv.org/abs/1706.02690.

    Args:
        data_root: Not used; there so that a recipe's data set can be exchanged for this one.
        kind: See above.
        size: Side of the images in pixels, at least 1.
        num_images: At least 1. Default 10,000.
        seed: Of the draw; equal settings give equal images.
        kwargs: ``image_key``, ``pipeline``, ``indices``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> noise = NoiseImages(kind="uniform", size=8, num_images=100)
        >>> len(noise), noise[0]["gt"].shape, noise[0]["gt"].dtype.name
        (100, (8, 8, 3), 'uint8')
    """

    METAINFO = {"dataset_type": "noise"}

    labeled = False

    def __init__(
        self,
        data_root: str = "",
        *,
        kind: str = "uniform",
        size: int = 32,
        num_images: int = 10_000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        check_choice(kind, "kind", KINDS)
        if size < 1 or num_images < 1:
            raise ValueError(f"size and num_images must be at least 1, but got size={size}, num_images={num_images}")
        self.kind, self.size, self.num_images, self.seed = kind, size, num_images, seed
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw the images; all labels are 0."""
        draw = np.random.default_rng(self.seed)
        shape = (self.num_images, self.size, self.size, 3)
        if self.kind == "uniform":
            images = draw.integers(256, size=shape, dtype=np.uint8)
        else:
            images = np.rint(255 * draw.normal(0.5, 1, shape).clip(0, 1)).astype(np.uint8)
        return images, np.zeros(self.num_images, dtype=np.int64)
