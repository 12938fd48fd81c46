"""Boxes, one for every sample, and what is put into them: what cutmix and cutout have in common."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .layout import laid_out_as, spatial_view

#: The least side of a box, as a share of the image's: 4 of 32 pixels, 1.6 % of the area. A smaller box is hardly seen,
#: and what is hardly changed is no negative. (Random erasing, Zhong et al., AAAI 2020, begins at 2 % of the area.)
LEAST_SIDE = 1 / 8


class Boxes(NamedTuple):
    """One box for every sample, in pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``.

    Shape:
        each ``(B,)``, integers.
    """

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    def area(self) -> Tensor:
        """The number of pixels in each box, ``(B,)``."""
        return (self.bottom - self.top) * (self.right - self.left)


def outside_mask(boxes: Boxes, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """0 inside the box of a sample and 1 outside, in the shape that goes with :func:`~.layout.spatial_view`.

    The inside is the product of the box's rows and columns: of all ways to join the two, the one whose CPU kernel is
    vectorised when both are broadcast.

    Args:
        boxes: one box a sample.
        height: rows of the images.
        width: columns of the images.
        dtype: of the result.

    Returns:
        ``(B, 1, H, W, 1)``.
    """
    row = torch.arange(height, device=boxes.top.device)
    column = torch.arange(width, device=boxes.top.device)
    in_rows = ((row >= boxes.top[:, None]) & (row < boxes.bottom[:, None])).to(dtype)
    in_columns = ((column >= boxes.left[:, None]) & (column < boxes.right[:, None])).to(dtype)
    inside = in_rows[:, :, None] * in_columns[:, None, :]
    return inside.neg_().add_(1)[:, None, :, :, None]


def fill_boxes(view: Tensor, content: Tensor, outside: Tensor, *, overwrite: bool = False) -> Tensor:
    """``content`` inside the boxes, ``view`` outside.

    Exact for finite values. It is written as a blend whose weights are 0 and 1, because torch's CPU kernel for that
    is vectorised and ``torch.where``'s is not (a tenth of the time at 256 x 3 x 32 x 32).

    Args:
        view: ``(B, P, H, W, Q)``.
        content: what goes into the boxes, of the shape of ``view`` or broadcast to it.
        outside: the :func:`outside_mask` of the boxes, in the dtype of ``view``.
        overwrite: whether the result may take the memory of ``content``, which then has the shape of ``view``.

    Returns:
        ``(B, P, H, W, Q)``.
    """
    if view.dtype == torch.uint8:  # has no lerp; masks of no and of all bits choose as well
        return content ^ ((content ^ view) & (outside * 255))
    if overwrite:
        return content.lerp_(view, outside)
    return torch.lerp(content, view, outside)


def apply_boxes(x: Tensor, boxes: Boxes, partners: Tensor | None = None, other: Tensor | None = None) -> Tensor:
    """Fill the box of each sample with the pixels its partner has there.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        boxes: one box a sample.
        partners: ``(B,)`` the partner's place in the batch (ignored if ``other`` is given).
        other: the partners themselves, shaped as ``x``.

    Returns:
        a new tensor of the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    outside = outside_mask(boxes, view.shape[2], view.shape[3], view.dtype)
    if other is not None:
        return restore(fill_boxes(view, spatial_view(laid_out_as(other, x))[0], outside))
    if partners is None:
        raise ValueError("pass the partners' places in the batch or the partners themselves as `other`")
    return restore(fill_boxes(view, view.index_select(0, partners), outside, overwrite=True))
