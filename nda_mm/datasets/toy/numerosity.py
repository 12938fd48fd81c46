"""Images whose rule is a number: that of the handwritten digits on each, at any place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nda_mm.datasets.images.array_dataset import ArrayDataset
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

from .digits import Digits

_SIDE = 8  # of scikit-learn's digits


@DATASETS.register_module()
class Numerosity(ArrayDataset):
    """Handwritten digits on black, a given number on each image, none over another.

    ``nda_mm.RuleBreaks`` counts how often a generator puts another number on an image. Images of other numbers are the
    negatives of ``nda_numerosity_digits.py``.

    Source: the task is that of Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113 (numerosity containment), here with the digits of
    :class:`~nda_mm.datasets.Digits` at their own 8x8 pixels. Drawn once from a seed: equal settings give equal
    images. The two splits draw from the digits of the same splits there, so they share no digit.

    Args:
        data_root: Not used; there so that a recipe's data set can be exchanged for this one.
        split: 'train' or 'test'.
        counts: The numbers of digits that an image may have, equally frequent, 0 to 4. The label of an image is its
            number.
        size: Side of the images in pixels, at least 20.
        channels: 3 (equal channels) or 1.
        num_images: Images of the split, at least 1.
        seed: Of the draw.
        kwargs: ``image_key``, ``pipeline``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        ValueError: If an argument is out of its range.
        ModuleNotFoundError: If scikit-learn is not installed.

    Example:
        >>> pairs = Numerosity(counts=[2], num_images=10)
        >>> len(pairs), pairs[0]["gt"].shape, pairs[0]["gt_label"]
        (10, (20, 20, 3), 2)
    """

    METAINFO = {"classes": ("none", "one", "two", "three", "four")}

    def __init__(
        self,
        data_root: str = "",
        split: str = "train",
        *,
        counts: Sequence[int] = (2,),
        size: int = 20,
        channels: int = 3,
        num_images: int = 2_000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", ("train", "test"))
        if not counts or len(set(counts)) != len(counts) or any(count not in range(5) for count in counts):
            raise ValueError(f"counts must be different numbers from 0 to 4, but got {list(counts)}")
        if size < 20 or channels not in (1, 3) or num_images < 1:
            raise ValueError(
                f"size must be at least 20, channels 1 or 3 and num_images at least 1, but got {size}, {channels} and "
                f"{num_images}"
            )
        self.split, self.counts, self.size, self.channels = split, tuple(counts), size, channels
        self.num_images, self.seed = num_images, seed
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Compose the images; a fraction of a second."""
        draw = np.random.default_rng([self.seed, self.split == "test", *self.counts])
        digits = Digits(split=self.split, size=_SIDE, channels=1).images[..., 0]
        labels = np.resize(np.array(self.counts, dtype=np.int64), self.num_images)
        draw.shuffle(labels)
        images = np.zeros((self.num_images, self.size, self.size), dtype=np.uint8)
        for image, count in zip(images, labels):
            for top, left in self._places(draw, int(count)):
                image[top : top + _SIDE, left : left + _SIDE] = digits[draw.integers(len(digits))]
        return np.repeat(images[..., None], self.channels, axis=-1), labels

    def _places(self, draw: np.random.Generator, count: int) -> np.ndarray:
        """Corners of squares that do not overlap; all such layouts are equally likely. Shape: (count, 2)."""
        while True:
            places = draw.integers(0, self.size - _SIDE + 1, size=(count, 2))
            apart = np.abs(places[:, None] - places[None]).max(axis=-1) >= _SIDE
            if apart.sum() == count * (count - 1):  # all but each with itself
                return places
