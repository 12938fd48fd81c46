"""A common view of all batches, so that each negative is written only once, and boxes on it.

Images and clips, contiguous or channels-last, are all viewed as a contiguous ``(B, P, H, W, Q)``: ``P`` planes that
share the spatial change (channels, frames or both) and ``Q`` values that are adjacent at each pixel. A negative that
moves or blends pixels in all planes of this view alike changes all frames of a clip in the same way, and keeps the
memory format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Minimum side of a box, as a fraction of the image's side: 4 of 32 pixels, 1.6 % of the area. A smaller box is hardly
#: visible, and an image that hardly changes is not a negative. (Random erasing, Zhong et al., AAAI 2020, starts at 2 %
#: of the area.)
LEAST_SIDE = 1 / 8


def spatial_view(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """View ``x`` as a contiguous ``(B, P, H, W, Q)``, and return a function that undoes the view.

    A batch that is contiguous or channels-last is not copied; any other layout is made contiguous.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.

    Returns:
        The view, and a function that returns a contiguous tensor of the view's shape to the shape and memory format
        of ``x``, without a copy.

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
    """Return whether ``x`` is channels-last and not also contiguous (as it is with a single channel)."""
    return not x.is_contiguous() and x.is_contiguous(memory_format=_channels_last(x))


def laid_out_as(other: Tensor, x: Tensor) -> Tensor:
    """Return ``other`` in the memory format in which :func:`spatial_view` reads ``x``, copied only if they differ."""
    return other.contiguous(memory_format=_channels_last(x) if is_channels_last(x) else torch.contiguous_format)


def select_samples(candidates: list[Tensor], choice: Tensor) -> Tensor:
    """Select one of several versions of each sample.

    Args:
        candidates: ``K`` versions of one batch, with equal shape, dtype and memory format.
        choice: Index of the version to take, ``(B,)`` integers in ``[0, K)``.

    Returns:
        A new batch whose sample ``b`` is ``candidates[choice[b]][b]``, in the memory format of the first candidate.
    """
    views = [spatial_view(candidate) for candidate in candidates]
    batch = choice.shape[0]
    index = choice * batch + torch.arange(batch, device=choice.device)
    return views[0][1](torch.cat([view for view, _ in views]).index_select(0, index))


class Boxes(NamedTuple):
    """One box per sample, in pixels: rows ``top`` to ``bottom - 1``, columns ``left`` to ``right - 1``.

    Shape:
        Each ``(B,)``, integers.
    """

    top: Tensor
    bottom: Tensor
    left: Tensor
    right: Tensor

    def area(self) -> Tensor:
        """Return the number of pixels in each box, ``(B,)``."""
        return (self.bottom - self.top) * (self.right - self.left)


def outside_mask(boxes: Boxes, height: int, width: int, dtype: torch.dtype, inner: int = 1) -> Tensor:
    """Make a mask for :func:`spatial_view` that is 0 inside the box of each sample and 1 outside.

    Args:
        boxes: One box per sample.
        height: Height of the images.
        width: Width of the images.
        dtype: Dtype of the mask.
        inner: ``Q``, the number of values per pixel. A mask with all of them takes three times as long to make, but
            without them torch reads channels-last images ten times more slowly. Defaults to 1.

    Returns:
        The mask, ``(B, 1, H, W, Q)``.
    """
    row = torch.arange(height, device=boxes.top.device)
    column = torch.arange(width, device=boxes.top.device)
    in_rows = ((row >= boxes.top[:, None]) & (row < boxes.bottom[:, None])).to(dtype)
    in_columns = ((column >= boxes.left[:, None]) & (column < boxes.right[:, None])).to(dtype)
    in_columns = in_columns.repeat_interleave(inner, dim=1)
    return (1 - in_rows[:, :, None] * in_columns[:, None, :]).unflatten(2, (width, inner))[:, None]


def fill_boxes(view: Tensor, content: Tensor, outside: Tensor) -> Tensor:
    """Put ``content`` inside the boxes and ``view`` outside.

    Exact for finite values. This is a blend with weights 0 and 1, because torch's CPU kernel for blends is vectorized
    and the one for ``torch.where`` is not (a tenth of the time at 256 x 3 x 32 x 32).

    Args:
        view: ``(B, P, H, W, Q)``.
        content: Content of the boxes, with the shape of ``view`` or broadcast to it.
        outside: :func:`outside_mask` of the boxes, in the dtype of ``view``.

    Returns:
        ``(B, P, H, W, Q)``.
    """
    if view.dtype == torch.uint8:  # lerp does not support uint8; masks of all bits or none select as well
        return content ^ ((content ^ view) & (outside * 255))
    return torch.lerp(content, view, outside)


def apply_boxes(x: Tensor, boxes: Boxes, partner: Tensor) -> Tensor:
    """Fill the box of each sample with the same region of its partner.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        boxes: One box per sample.
        partner: One partner per sample, with the shape of ``x``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    outside = outside_mask(boxes, view.shape[2], view.shape[3], view.dtype, view.shape[4])
    return restore(fill_boxes(view, spatial_view(laid_out_as(partner, x))[0], outside))
