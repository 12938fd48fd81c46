"""Boxes, one for every sample, and what is put into them: what stitch, cutmix and cutout have in common."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .layout import laid_out_as, spatial_view

#: The least side of a box, as a share of the image's: 4 of 32 pixels, 1.6 % of the area. A smaller box is hardly seen,
#: and what is hardly changed is not a negative. (Random erasing, Zhong et al., AAAI 2020, begins at 2 % of the area.)
LEAST_SIDE = 1 / 8


class Boxes(NamedTuple):
    """One box for every sample, in pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``.

    Shape:
        Each ``(B,)``, integers.
    """

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    def area(self) -> Tensor:
        """The number of pixels in each box, ``(B,)``."""
        return (self.bottom - self.top) * (self.right - self.left)


def outside_mask(boxes: Boxes, height: int, width: int, dtype: torch.dtype, inner: int = 1) -> Tensor:
    """Make a mask, 0 inside the box of a sample and 1 outside, that goes with :func:`~.layout.spatial_view`.

    Args:
        boxes: One box a sample.
        height: Rows of the images.
        width: Columns of the images.
        dtype: Of the result.
        inner: ``Q``, values at a pixel. A mask that has them all is three times the work to make, and without it torch
            reads channels-last images ten times as slowly.

    Returns:
        ``(B, 1, H, W, Q)``.
    """
    row = torch.arange(height, device=boxes.top.device)
    column = torch.arange(width, device=boxes.top.device)
    in_rows = ((row >= boxes.top[:, None]) & (row < boxes.bottom[:, None])).to(dtype)
    in_columns = ((column >= boxes.left[:, None]) & (column < boxes.right[:, None])).to(dtype)
    in_columns = in_columns.repeat_interleave(inner, dim=1)
    return (1 - in_rows[:, :, None] * in_columns[:, None, :]).unflatten(2, (width, inner))[:, None]


def fill_boxes(view: Tensor, content: Tensor, outside: Tensor) -> Tensor:
    """Put ``content`` inside the boxes and ``view`` outside.

    Exact for finite values. It is written as a blend whose weights are 0 and 1, because torch's CPU kernel for that
    is vectorized and ``torch.where``'s is not (a tenth of the time at 256 x 3 x 32 x 32).

    Args:
        view: ``(B, P, H, W, Q)``.
        content: What goes into the boxes, of the shape of ``view`` or broadcast to it.
        outside: The :func:`outside_mask` of the boxes, in the dtype of ``view``.

    Returns:
        ``(B, P, H, W, Q)``.
    """
    if view.dtype == torch.uint8:  # has no lerp; masks of no and of all bits choose as well
        return content ^ ((content ^ view) & (outside * 255))
    return torch.lerp(content, view, outside)


def apply_boxes(x: Tensor, boxes: Boxes, partner: Tensor) -> Tensor:
    """Fill the box of each sample with the pixels its partner has there.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        boxes: One box a sample.
        partner: One partner a sample, shaped as ``x``.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    outside = outside_mask(boxes, view.shape[2], view.shape[3], view.dtype, view.shape[4])
    return restore(fill_boxes(view, spatial_view(laid_out_as(partner, x))[0], outside))
