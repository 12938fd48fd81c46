"""OOD data sets that need no download: noise, changed digits, and letters."""

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

#: Letters as strokes through points (x, y) of the unit square, y downwards; none like a digit (B, I, S, ...).
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

_SCAN = 32  # the forms of the digits were scanned at 32x32, black or white,
_GRID = 8  # and ink was counted in blocks of 4x4, which gives 0 to 16


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
        num_images: Default 10,000.
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
    """Embedded OOD data sets for models of :class:`~nda_mm.datasets.Digits`, as many images as the split has.

    * ``'rotated'``: by a quarter turn to the left or the right, drawn per image; no value is interpolated.
    * ``'inverted'``: 255 minus the value.
    * ``'blurred'``: by a Gaussian with a std of an eighth of the side, one pixel of the 8x8 original.
    * ``'letters'``: letters drawn with strokes, see :func:`draw_letters`.

    Letters and rotated digits differ from digits in their form only, inverted and blurred ones in their pixels. Some
    rotated digits remain digits: a 0 on its side is a wide 0.

    Args:
        data_root: Not used, as in :class:`~nda_mm.datasets.Digits`.
        split: Of the digits; ``'test'`` by default. Of letters it gives the number alone.
        kind: See above.
        seed: Of turns and strokes. Default 0.
        kwargs: ``size``, ``channels``, ``image_key``, ... of :class:`~nda_mm.datasets.Digits`.

    Raises:
        ValueError: If ``kind`` is none of these.

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
        """Take the digits and change them, or draw letters."""
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
    """Draw letters as the digits of scikit-learn were made: ink on 32x32 pixels, counted in blocks of 4x4.

    Corners, width and pen vary from letter to letter, and all letters are equally frequent. So pixels alone (8x8 gray
    values of 17 levels, the ink at the border, the softness of a stroke) do not tell letters from digits.

    Source of how the digits were made: E. Alpaydin, C. Kaynak, https://doi.org/10.24432/C50P49.

    Args:
        count: Number of letters, at least 1.
        seed: Of everything that is drawn. Default 0.

    Returns:
        Ink, 0 to 16, float64, shape (count, 8, 8), and the letters' numbers in :data:`LETTERS`, shape (count,).

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
    """Distance of points (..., 2) from the straight line between two points."""
    along = end - start
    share = np.clip(((points - start) @ along) / max(float(along @ along), 1e-12), 0, 1)
    return np.linalg.norm(points - (start + share[..., None] * along), axis=-1)
