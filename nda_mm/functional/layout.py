"""One view of every batch, so that each negative is written once.

Images and clips, contiguous and channels-last, all become a contiguous ``(B, P, H, W, Q)``: ``P`` planes that share the
spatial change (channels, frames or both) and ``Q`` values that sit side by side at a pixel. A negative that moves or
blends pixels of this view alike in all planes changes every frame of a clip alike, and keeps the memory format.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor


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
