"""OOD data sets that need no download: noise, modified digits, and letters."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from nda_mm.datasets.images.array_dataset import ArrayDataset, check_size
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

from .digits import Digits, enlarge

NOISES = ("uniform", "gaussian")
KINDS = ("rotated", "inverted", "blurred", "letters")
Point = tuple[float, float]

#: Letters as strokes through points (x, y) of the unit square, with y downwards. Letters that look like digits
#: (B, I, S, ...) are left out.
LETTERS: dict[str, tuple[tuple[Point, ...], ...]] = {
    "A": (((0, 1), (0.5, 0), (1, 1)), ((0.22, 0.6), (0.78, 0.6))),
    "E": (((1, 0), (0, 0), (0, 1), (1, 1)), ((0, 0.5), (0.8, 0.5))),
    "F": (((1, 0), (0, 0), (0, 1)), ((0, 0.5), (0.8, 0.5))),
    "H": (((0, 0), (0, 1)), ((1, 0), (1, 1)), ((0, 0.5), (1, 0.5))),
    "K": (((0, 0), (0, 1)), ((1, 0), (0, 0.5), (1, 1))),
    "M": (((0, 1), (0, 0), (0.5, 0.6), (1, 0), (1, 1)),),
    "N": (((0, 1), (0, 0), (1, 1), (1, 0)),),
    "T": (((0, 0), (1, 0)), ((0.5, 0), (0.5, 1))),
    "V": (((0, 0), (0.5, 1), (1, 0)),),
    "W": (((0, 0), (0.25, 1), (0.5, 0.35), (0.75, 1), (1, 0)),),
    "X": (((0, 0), (1, 1)), ((1, 0), (0, 1))),
    "Y": (((0, 0), (0.5, 0.5), (1, 0)), ((0.5, 0.5), (0.5, 1))),
}

_SCAN = 32  # scikit-learn's digits were scanned at 32x32, black or white,
_GRID = 8  # and the ink was counted in 4x4 blocks, which gives 0 to 16


@DATASETS.register_module()
class NoiseImages(ArrayDataset):
    """Noise without structure: an OOD data set that needs no download.

    * ``'uniform'``: every value of every pixel and channel is equally likely.
    * ``'gaussian'``: normal with mean 0.5 and standard deviation 1, relative to the range of pixels, and clipped to it.

    Source: the two noise sets of Liang et al., "Enhancing the Reliability of Out-of-distribution Image Detection in
    Neural Networks", ICLR 2018, https://arxiv.org/abs/1706.02690.

    Args:
        data_root: Not used; accepted so that this data set can replace the data set of a recipe.
        kind: Kind of images; see above.
        size: Side of the images in pixels, at least 1.
        num_images: Number of images. Defaults to 10,000.
        seed: Seed for the random draws; equal settings give equal images.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ``indices``, ...

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
        check_choice(kind, "kind", NOISES)
        self.kind, self.size, self.num_images, self.seed = kind, check_size(size), num_images, seed
        super().__init__(data_root, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw the images; all labels are 0."""
        draw = np.random.default_rng(self.seed)
        shape = (self.num_images, self.size, self.size, 3)
        if self.kind == "uniform":
            images = draw.integers(256, size=shape, dtype=np.uint8)
        else:
            images = np.rint(255 * draw.normal(0.5, 1, shape).clip(0, 1)).astype(np.uint8)
        return images, np.zeros(self.num_images)


@DATASETS.register_module(name=["OODDigits", "OutlyingDigits"])
class OODDigits(Digits):
    """Built-in OOD data sets for models of :class:`~nda_mm.datasets.Digits`, with as many images as the split.

    * ``'rotated'``: by a quarter turn to the left or right, drawn per image, without interpolation.
    * ``'inverted'``: 255 minus the value.
    * ``'blurred'``: with a Gaussian whose std is an eighth of the side, one pixel of the 8x8 original.
    * ``'letters'``: letters drawn with strokes, see :func:`draw_letters`.

    Letters and rotated digits differ from digits only in shape, inverted and blurred ones in their pixel values. Some
    rotated digits are still digits: a 0 on its side is a wide 0.

    Args:
        data_root: Not used, as in :class:`~nda_mm.datasets.Digits`.
        split: Split of the digits; for letters, it only determines their number. Defaults to ``'test'``.
        kind: Kind of images; see above.
        seed: Seed for rotations and strokes. Defaults to 0.
        kwargs: Arguments of :class:`~nda_mm.datasets.Digits`: ``size``, ``channels``, ``image_key``, ...

    Raises:
        ValueError: If ``kind`` is unknown.

    Example:
        >>> letters = OODDigits(kind="letters", size=16)
        >>> len(letters), letters[0]["gt"].shape
        (445, (16, 16, 3))
    """

    def __init__(
        self, data_root: str = "", split: str = "test", *, kind: str = "rotated", seed: int = 0, **kwargs: Any
    ) -> None:
        check_choice(kind, "kind", KINDS)
        self.kind = kind
        self.seed = seed
        super().__init__(data_root, split, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Modify the digits, or draw letters."""
        images, labels = super().load_arrays()
        if self.kind == "letters":
            ink, labels = draw_letters(len(images), self.seed)
            self._metainfo["classes"] = tuple(LETTERS)
            return enlarge(ink, self.size, self.channels), labels
        if self.kind == "inverted":
            return 255 - images, labels
        if self.kind == "rotated":
            to_left = np.random.default_rng(self.seed).random(len(images)) < 0.5
            turned = [np.rot90(image, 1 if left else -1) for image, left in zip(images, to_left, strict=True)]
            return np.stack(turned), labels
        return np.stack([_blur(image, self.size / 8) for image in images]), labels


def _blur(image: np.ndarray, std: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(image.astype(np.float64), (std, std, 0), mode="nearest", truncate=4)
    return np.rint(blurred).clip(0, 255).astype(np.uint8)


def draw_letters(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw letters in the way that scikit-learn's digits were made: ink on 32x32 pixels, counted in 4x4 blocks.

    Corners, width and pen vary from letter to letter, and all letters are equally frequent. Pixels alone (8x8 gray
    values of 17 levels, ink at the border, softness of strokes) therefore do not distinguish letters from digits.

    Source for how the digits were made: E. Alpaydin, C. Kaynak, https://doi.org/10.24432/C50P49.

    Args:
        count: Number of letters, at least 1.
        seed: Seed for the random draws. Defaults to 0.

    Returns:
        Ink from 0 to 16 as float64, shape (count, 8, 8), and the index of each letter in :data:`LETTERS`, shape
        (count,).

    Example:
        >>> ink, labels = draw_letters(3)
        >>> ink.shape, labels.tolist()
        ((3, 8, 8), [0, 1, 2])
    """
    draw = np.random.default_rng(seed)
    labels = np.arange(count) % len(LETTERS)
    shapes = list(LETTERS.values())
    return np.stack([_draw(shapes[label], draw) for label in labels]), labels


def _draw(strokes: tuple[tuple[Point, ...], ...], draw: np.random.Generator) -> np.ndarray:
    pen = draw.uniform(1.8, 2.8)  # half the width of a stroke, in pixels of the scan
    width, height = draw.uniform(0.65, 0.95), 1.0
    size = np.array([width, height]) * (_SCAN - 2 * pen)
    corner = (_SCAN - size) / 2
    rows, columns = np.indices((_SCAN, _SCAN)) + 0.5
    centers = np.stack([columns, rows], axis=-1)
    ink = np.zeros((_SCAN, _SCAN), dtype=bool)
    for stroke in strokes:
        points = np.clip(np.array(stroke) + draw.normal(0, 0.05, (len(stroke), 2)), 0, 1) * size + corner
        for start, end in pairwise(points):
            ink |= _distance(centers, start, end) <= pen
    block = _SCAN // _GRID
    return ink.reshape(_GRID, block, _GRID, block).sum(axis=(1, 3)).astype(np.float64)


def _distance(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the distance of points (..., 2) from the line segment between two points."""
    along = end - start
    share = np.clip(((points - start) @ along) / max(float(along @ along), 1e-12), 0, 1)
    return np.linalg.norm(points - (start + share[..., None] * along), axis=-1)
