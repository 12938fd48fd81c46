"""Real handwritten digits that need no download: the default data of the small variant of every recipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import resize_squares
from nda_mm.datasets.images.array_dataset import ArrayDataset, check_size
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

_TEST_EVERY = 4
_SIDE = 8  # side of scikit-learn's digits in pixels
_INK = 128  # smallest gray value that counts as ink


@DATASETS.register_module()
class Digits(ArrayDataset):
    """The 1,797 handwritten digits that come with scikit-learn, enlarged from 8x8.

    Source: E. Alpaydin, C. Kaynak, Optical recognition of handwritten digits, UCI repository, 1998,
    https://doi.org/10.24432/C50P49; scikit-learn's ``load_digits``. Gray values 0 to 16 become 0 to 255 and the images
    are enlarged by bicubic interpolation. At 32x32 RGB they take 5.5 MB.

    The split is fixed, not random: within each class, every fourth image in scikit-learn's order is a test image. Both
    splits have digits by the same writers, so a test score says nothing about unseen writers.

    Args:
        data_root: Not used; accepted so that this data set can replace the data set of a recipe.
        split: 'train' (1,352 images), 'test' (445) or 'all'. Never train on 'all' if you evaluate on 'test'.
        size: Side of the images in pixels, at least 8.
        channels: 3 (equal channels) or 1.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ``indices``, ...

    Raises:
        ValueError: If an argument is out of its range.
        ModuleNotFoundError: If scikit-learn is not installed.

    Example:
        >>> digits = Digits(split="test", size=16)
        >>> len(digits), digits[0]["gt"].shape, digits[0]["gt_label"]
        (445, (16, 16, 3), 0)
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(
        self, data_root: str = "", split: str = "train", *, size: int = 32, channels: int = 3, **kwargs: Any
    ) -> None:
        check_choice(split, "split", ("train", "test", "all"))
        self.split = split
        self.size = check_size(size, _SIDE)
        self.channels = check_choice(channels, "channels", (1, 3))
        self.resizing = f"8x8 to {size}x{size}, bicubic"
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read, select and enlarge the digits, which takes a fraction of a second."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        chosen = self._chosen(bunch.target)
        return enlarge(bunch.images[chosen], self.size, self.channels), bunch.target[chosen]

    def _chosen(self, labels: np.ndarray) -> np.ndarray:
        if self.split == "all":
            return np.ones(len(labels), dtype=bool)
        is_test = np.zeros(len(labels), dtype=bool)
        for label in np.unique(labels):
            is_test[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
        return is_test == (self.split == "test")


def enlarge(ink: np.ndarray, size: int, channels: int) -> np.ndarray:
    """Convert 8x8 images with values 0 to 16 to larger gray images.

    Args:
        ink: Values in [0, 16]. Shape: (N, 8, 8).
        size: Side of the larger images in pixels; they are enlarged by bicubic interpolation.
        channels: Number of equal channels.

    Returns:
        uint8 images. Shape: (N, size, size, channels).
    """
    gray = np.rint(ink * (255 / 16)).astype(np.uint8)
    return np.repeat(resize_squares(gray[..., None], size), channels, axis=-1)


@DATASETS.register_module()
class DigitEdges(Digits):
    """The digits of :class:`~nda_mm.datasets.Digits` with their outlines: a small set for image translation.

    The outline is white on black. It consists of the ink pixels (gray value of 128 or more) that touch a non-ink pixel
    or the image border on one of their four sides. It is a deterministic function of the digit.

    An item has ``img_edge`` and ``img_digit``, (size, size, channels) uint8, and ``gt_label``, for mmagic's Pix2Pix
    with the domains ``edge`` and ``digit``.

    Args:
        data_root, split, size, channels, kwargs: As for :class:`~nda_mm.datasets.Digits`; the default size of 32
            is the smallest that mmagic's U-Net accepts. ``image_key`` has no effect.

    Example:
        >>> pair = DigitEdges(split="test")[0]
        >>> pair["img_edge"].shape, sorted(set(pair["img_edge"].flatten().tolist())), pair["gt_label"]
        ((32, 32, 3), [0, 255], 0)
    """

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return one pair before the pipeline."""
        item = super().get_data_info(idx)
        digit, order = item.pop(self.image_key), item.pop(f"{self.image_key}_channel_order")
        images = {"img_edge": outline(digit), "img_digit": digit}
        return item | images | {f"{name}_channel_order": order for name in images}


def outline(image: np.ndarray) -> np.ndarray:
    """Return the outline of the bright regions, white on black.

    Args:
        image: uint8 image, bright on dark. Shape: (H, W, C) with equal channels.

    Returns:
        uint8 image of the same shape, 255 where a pixel of at least 128 touches a darker pixel or the image border on
        one of its four sides.

    Example:
        >>> outline(np.full((3, 4, 1), 200, dtype=np.uint8))[..., 0].tolist()
        [[255, 255, 255, 255], [255, 0, 0, 255], [255, 255, 255, 255]]
    """
    ink = image >= _INK
    around = np.pad(ink, ((1, 1), (1, 1), (0, 0)))
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return np.where(ink & ~inside, 255, 0).astype(np.uint8)


@DATASETS.register_module()
class Numerosity(ArrayDataset):
    """Images with a given number of handwritten digits on black, without overlap.

    ``nda_mm.RuleBreaks`` counts how often a generator puts a different number of digits in an image. Images with other
    numbers of digits are the negatives in ``nda_numerosity_digits.py``.

    Source: the task is that of Sinha et al., "Negative Data Augmentation", ICLR 2021,
    https://arxiv.org/abs/2102.05113 (numerosity containment), here with the digits of :class:`~nda_mm.datasets.Digits`
    at their original 8x8 pixels. The images are drawn once from a seed, so equal settings give equal images. Each split
    uses the digits of the same split there, so the two splits share no digit.

    Args:
        data_root: Not used; accepted so that this data set can replace the data set of a recipe.
        split: 'train' or 'test'.
        counts: Numbers of digits that an image may have, from 0 to 4, equally frequent. The label of an image is its
            number of digits.
        size: Side of the images in pixels, at least 20.
        channels: 3 (equal channels) or 1.
        num_images: Number of images in the split.
        seed: Seed for the random draws.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ...

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
        self.split, self.counts, self.num_images, self.seed = split, tuple(counts), num_images, seed
        self.size = check_size(size, 20)
        self.channels = check_choice(channels, "channels", (1, 3))
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Compose the images, which takes a fraction of a second."""
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
        """Draw the corners of squares that do not overlap; all such layouts are equally likely. Shape: (count, 2)."""
        while True:
            places = draw.integers(0, self.size - _SIDE + 1, size=(count, 2))
            apart = np.abs(places[:, None] - places[None]).max(axis=-1) >= _SIDE
            if apart.sum() == count * (count - 1):  # all pairs except each square with itself
                return places
