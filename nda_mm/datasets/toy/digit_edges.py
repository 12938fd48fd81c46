"""Pairs of images that need no download: the outline of a handwritten digit, and the digit."""

from __future__ import annotations

from typing import Any

import numpy as np

from nda_mm.registry import DATASETS

from .digits import Digits

_INK = 128


@DATASETS.register_module()
class DigitEdges(Digits):
    """The digits of :class:`~nda_mm.datasets.Digits` with their outlines: a small set for image translation.

    The outline is white on black: every pixel of ink (grey value of 128 or more) of whose four neighbours one is no
    ink; beyond the border there is none. It is a function of the digit, without draws. What lies inside it, and how
    dark, is for a network to fill in.

    An item has ``img_edge`` and ``img_digit``, (size, size, channels) uint8, and ``gt_label``, for mmagic's Pix2Pix
    with the domains ``edge`` and ``digit``.

    Args:
        data_root, split, size, channels, kwargs: As for :class:`~nda_mm.datasets.Digits`; the default size of 32
            is the smallest that mmagic's U-Net takes. ``image_key`` has no use here.

    Example:
        >>> pair = DigitEdges(split="test")[0]
        >>> pair["img_edge"].shape, sorted(set(pair["img_edge"].flatten().tolist())), pair["gt_label"]
        ((32, 32, 3), [0, 255], 0)
    """

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One pair before the pipeline."""
        item = super().get_data_info(idx)
        digit, order = item.pop(self.image_key), item.pop(f"{self.image_key}_channel_order")
        images = {"img_edge": outline(digit), "img_digit": digit}
        return item | images | {f"{name}_channel_order": order for name in images}


def outline(image: np.ndarray) -> np.ndarray:
    """The border of what is bright, white on black.

    Args:
        image: uint8, bright on dark. Shape: (H, W, C) with equal channels.

    Returns:
        uint8 of the same shape, 255 where a pixel of at least 128 touches a darker one, or the border, on one of its
        four sides.

    Example:
        >>> outline(np.full((3, 4, 1), 200, dtype=np.uint8))[..., 0].tolist()
        [[255, 255, 255, 255], [255, 0, 0, 255], [255, 255, 255, 255]]
    """
    ink = image >= _INK
    around = np.pad(ink, ((1, 1), (1, 1), (0, 0)))
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return np.where(ink & ~inside, 255, 0).astype(np.uint8)
