"""Digits that are none any more, and letters: outlying sets that need no download."""

from __future__ import annotations

from typing import Any

import numpy as np

from nda_mm.registry import DATASETS

from .digits import Digits, enlarge
from .letter_shapes import LETTERS, draw_letters

KINDS = ("rotated", "inverted", "blurred", "letters")


@DATASETS.register_module()
class OutlyingDigits(Digits):
    """Embedded outside sets for models of :class:`~nda_mm.datasets.Digits`, as many images as the split has.

    * ``'rotated'``: by a quarter turn to the left or the right, drawn per image; no value is interpolated.
    * ``'inverted'``: 255 minus the value.
    * ``'blurred'``: by a Gaussian with a deviation of an eighth of the side, one pixel of the 8x8 original.
    * ``'letters'``: letters drawn with strokes, see :func:`~nda_mm.datasets.toy.letter_shapes.draw_letters`.

    They differ in what gives them away: letters and turned digits only by their form, inverted and blurred ones by
    their pixels. Some turned digits remain digits: a lying 0 is a wide 0.

    Args:
        data_root: Not used, as in :class:`~nda_mm.datasets.Digits`.
        split: Of the digits; ``'test'`` by default. Of letters it gives the number alone.
        kind: See above.
        seed: Of turns and strokes. Default 0.
        kwargs: ``size``, ``channels``, ``image_key``, ... of :class:`~nda_mm.datasets.Digits`.

    Raises:
        ValueError: If ``kind`` is none of these.

    Example:
        >>> letters = OutlyingDigits(kind="letters", size=16)
        >>> len(letters), letters[0]["gt"].shape
        (445, (16, 16, 3))
    """

    def __init__(
        self, data_root: str = "", split: str = "test", *, kind: str = "rotated", seed: int = 0, **kwargs: Any
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, but got {kind!r}")
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


def _blur(image: np.ndarray, deviation: float) -> np.ndarray:
    """Convolve with a Gaussian, exactly and separately by axis; the edge is continued."""
    reach = int(np.ceil(4 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    values = image.astype(np.float64)
    for axis in (0, 1):
        padding = [(reach, reach) if each == axis else (0, 0) for each in range(3)]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, padding, mode="edge"), len(kernel), axis)
        values = windows @ kernel
    return np.rint(values).clip(0, 255).astype(np.uint8)
