"""A negative with a part missing: cutout."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side
from .layout import LEAST_SIDE, Boxes, fill_boxes, outside_mask, spatial_view
from .sampling import random_integers


def cutout(
    x: Tensor, size: tuple[float, float] = (0.3125, 0.625), *, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a square of each image with the mean color of that square.

    Every sample draws the side and then the place, uniform over all places where the square lies inside the image,
    the last row and column included; each frame of a clip is filled with the mean color it has there itself. The mean
    color keeps the square inconspicuous to a look at single pixels: a square that has one color already, as of sky or
    of a plain background, stays as it was, and such a result is not a negative.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (cutout; the sides of 10
        to 19 of 32 pixels and the mean color are those of the authors' code).

    Args:
        x: The batch; any floating dtype or uint8 (the mean is rounded to nearest).
        size: Bounds of the side as a share of the short side of the image, within ``[1/8, 1]``; the upper bound itself
            is drawn only where both are equal. Defaults to (0.3125, 0.625). Never below 2 pixels.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device, memory format and value range of ``x``.

    Raises:
        TypeError: If the dtype is refused or ``size`` is not a pair of numbers.
        ValueError: If ``size`` is out of its range, or the images are too small for a square of 2 pixels.

    Example:
        >>> x = torch.arange(16.0).view(1, 1, 4, 4)
        >>> cutout(x, size=(1.0, 1.0)).unique().tolist()
        [7.5]
    """
    check_batch(x, generator)
    batch, height, width = x.shape[0], x.shape[-2], x.shape[-1]
    least, most = check_sides(size, height, width)
    side = random_integers(least, most, batch, like=x, generator=generator)
    top = random_integers(0, height - side, batch, like=x, generator=generator)
    left = random_integers(0, width - side, batch, like=x, generator=generator)
    return apply_cutout(x, Boxes(top, top + side, left, left + side))


def apply_cutout(x: Tensor, boxes: Boxes) -> Tensor:
    """Fill each sample's box with the mean color of that box, frame by frame.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        boxes: One box a sample, not empty.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    # Half precision cannot hold such sums, and integers are summed exactly.
    exact = {torch.uint8: torch.int64, torch.float64: torch.float64}.get(x.dtype, torch.float32)
    outside = outside_mask(boxes, view.shape[2], view.shape[3], x.dtype, view.shape[4])
    total = (view * (1 - outside)).sum(dim=(2, 3), keepdim=True, dtype=exact)
    mean = total / boxes.area().view(-1, 1, 1, 1, 1)
    if x.dtype == torch.uint8:
        mean = mean.round_()
    return restore(fill_boxes(view, mean.to(x.dtype), outside))


def check_sides(size: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """The least and the greatest side of the square in pixels.

    Raises:
        TypeError: If ``size`` is not a pair of numbers.
        ValueError: If ``size`` leaves [1/8, 1], or the short side is below 2 pixels.
    """
    low, high = check_cutout_size(size)
    check_least_side(height, width, 2, "cutout")
    short = min(height, width)
    least = max(2, math.floor(low * short))
    return least, max(least, math.ceil(high * short) - 1 if low < high else 0)


def check_cutout_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return ``size`` as two floats, or raise TypeError or ValueError."""
    return check_interval(size, "size", LEAST_SIDE, 1.0)
