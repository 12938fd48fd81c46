"""One view of every batch, so that each negative is written once, and boxes on it.

Images and clips, contiguous and channels-last, all become a contiguous ``(B, P, H, W, Q)``: ``P`` planes that share the
spatial change (channels, frames or both) and ``Q`` values that sit side by side at a pixel. A negative that moves or
blends pixels of this view alike in all planes changes every frame of a clip alike, and keeps the memory format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: The least side of a box, as a share of the image's: 4 of 32 pixels, 1.6 % of the area. A smaller box is hardly seen,
#: and what is hardly changed is not a negative. (Random erasing, Zhong et al., AAAI 2020, begins at 2 % of the area.)
LEAST_SIDE = 1 / 8


def spatial_view(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """View ``x`` as a contiguous ``(B, P, H, W, Q)``, with the way back to its own shape and memory format.

    No copy is made of a batch that is contiguous or channels-last; any other layout is made contiguous.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.

    Returns:
        The view, and a function that takes a contiguous tensor of the view's shape back to the shape and memory
        format of ``x``, without a copy.

    Example:
        >>> x = torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)
        >>> view, restore = spatial_view(x)
        >>> tuple(view.shape), restore(view).is_contiguous(memory_format=torch.channels_last)
        ((2, 1, 4, 5, 3), True)
    """
    shape = x.shape
    batch, height, width = shape[0], shape[-2], shape[-1]
    if is_channels_last(x):
        back = (0, x.ndim - 1, *range(1, x.ndim - 1))
        last = x.movedim(1, -1)
        view = last.reshape(batch, math.prod(last.shape[1:-3]), height, width, last.shape[-1])
        return view, lambda rows: rows.view(last.shape).permute(back)
    view = x.contiguous().view(batch, math.prod(shape[1:-2]), height, width, 1)
    return view, lambda rows: rows.view(shape)


def _channels_last(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.ndim == 4 else torch.channels_last_3d


def is_channels_last(x: Tensor) -> bool:
    """Whether ``x`` is laid out channels-last and not also contiguous (as one channel would be)."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=_channels_last(x))


def laid_out_as(other: Tensor, x: Tensor) -> Tensor:
    """``other`` in the memory format that :func:`spatial_view` reads ``x`` in; a copy only where they differ."""
    return other.contiguous(memory_format=_channels_last(x) if is_channels_last(x) else torch.contiguous_format)


def select_samples(candidates: list[Tensor], choice: Tensor) -> Tensor:
    """For every sample take the version that ``choice`` names, from versions of one batch.

    Args:
        candidates: ``K`` batches of equal shape, dtype and memory format.
        choice: ``(B,)`` integers in ``[0, K)``.

    Returns:
        A new batch whose sample ``b`` is ``candidates[choice[b]][b]``, in the memory format of the first candidate.
    """
    views = [spatial_view(candidate) for candidate in candidates]
    batch = choice.shape[0]
    index = choice * batch + torch.arange(batch, device=choice.device)
    return views[0][1](torch.cat([view for view, _ in views]).index_select(0, index))


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
    """Make a mask, 0 inside the box of a sample and 1 outside, that goes with :func:`spatial_view`.

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
