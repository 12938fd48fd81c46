"""A negative that keeps an image's texture and loses its shape: patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checks import check_batch, check_interval
from .layout import spatial_view
from .sampling import random_integers


def patches(
    x: Tensor, size: tuple[float, float] = (16 / 224, 72 / 224), *, generator: torch.Generator | None = None
) -> Tensor:
    """Tile each image with square crops taken from random places of itself.

    Every sample draws the side of its patches, and each patch its place, uniform over the image; patches may overlap.
    The first one is never taken from where it is put, so that no image is rebuilt. What is left of the image is its
    texture. An image of one color is its own negative.

    Source:
        Ge et al., "Robust Contrastive Learning Using Negative Samples with Diminished Semantics", NeurIPS 2021,
        https://arxiv.org/abs/2110.14189 (patch-based negatives: sides of 16 to 72 of 224 pixels).

    Args:
        x: The batch; any floating dtype or uint8.
        size: Bounds of the side as a share of the short side of the image, within ``[1/64, 1/2]``. Defaults to
            (16 / 224, 72 / 224). Never below 2 pixels.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out; all frames of a clip share the places.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is refused or ``size`` is not a pair of numbers.
        ValueError: If ``size`` is out of its range, or a side of the images is below 4 pixels.

    Example:
        >>> x = torch.arange(64.0).view(1, 1, 8, 8)
        >>> made = patches(x, size=(0.5, 0.5))  # four patches of 4 x 4
        >>> steps = made[0, 0, 1:4] - made[0, 0, :3]  # within a patch, rows follow each other as in the image
        >>> steps.unique().tolist()
        [8.0]
    """
    check_batch(x, generator)
    batch, height, width = len(x), x.shape[-2], x.shape[-1]
    least, most = check_patch_sides(size, height, width)
    side = random_integers(least, most, batch, like=x, generator=generator)
    rows, columns = -(-height // least), -(-width // least)
    top, left = (
        (
            torch.rand(batch, rows, columns, device=x.device, generator=generator) * (length + 1 - side[:, None, None])
        ).long()
        for length in (height, width)
    )
    # The first patch: any place but its own.
    across = width + 1 - side
    place = random_integers(1, (height + 1 - side) * across - 1, batch, like=x, generator=generator)
    top[:, 0, 0], left[:, 0, 0] = place // across, place % across
    return apply_patches(x, side, top, left)


def apply_patches(x: Tensor, side: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Cover each sample row by row with square patches from given places of itself; the last ones are cut off.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        side: ``(B,)`` the side of a sample's patches.
        top: ``(B, rows, columns)`` the first row of each patch, with at least as many patches as cover the image.
        left: ``(B, rows, columns)`` its first column.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    sample = torch.arange(batch, device=x.device).view(-1, 1, 1)
    side = side.view(-1, 1, 1)
    row = torch.arange(height, device=x.device).view(1, -1, 1)
    column = torch.arange(width, device=x.device).view(1, 1, -1)
    patch = (sample, row // side, column // side)
    source = (top[patch] + row % side) * width + left[patch] + column % side
    index = source.view(batch, 1, -1, 1).expand(batch, planes, -1, inner)
    return restore(view.flatten(2, 3).gather(2, index).view(view.shape))


def check_patch_sides(size: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """The least and the greatest side of a patch in pixels.

    Raises:
        TypeError: If ``size`` is not a pair of numbers.
        ValueError: If ``size`` leaves [1/64, 1/2], or the short side is below 4 pixels.
    """
    low, high = check_patch_size(size)
    short = min(height, width)
    if short < 4:
        raise ValueError(f"patches needs images of at least 4 x 4 pixels, but got {height} x {width}")
    least = max(2, math.floor(low * short + 0.5))
    return least, max(least, math.floor(high * short + 0.5))


def check_patch_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return ``size`` as two floats, or raise TypeError or ValueError."""
    return check_interval(size, "size", 1 / 64, 0.5)
