"""Negatives that blend or replace pixels: mixup (a blend), cutmix (a box of another image), cutout (a flat square)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side, check_positive, check_within
from .layout import LEAST_SIDE, Boxes, apply_boxes, fill_boxes, laid_out_as, outside_mask, spatial_view
from .sampling import draw_partners, random_beta, random_integers

#: Minimum share of either image in a blend: white on black at 5 % is 13 of 255 gray levels, which is just visible.
LEAST_SHARE = 0.05
#: Minimum share of the area that either image keeps.
LEAST_AREA = LEAST_SIDE**2


def mixup(
    x: Tensor,
    alpha: float = 25.0,
    *,
    min_share: float = 0.1,
    other: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Blend each image with another one: ``share * own + (1 - share) * partner``.

    Each sample draws its share from Beta(alpha, alpha). With the default of 25 it is close to 1/2 (between 0.3 and 0.7
    in more than 99 % of draws), so that both images are visible. A small ``alpha`` would draw shares close to 0 and 1,
    and a blend of 99 % and 1 % is a real image rather than a negative. Shares are therefore clamped to
    ``[min_share, 1 - min_share]``, which practically never matters at the default ``alpha``.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (mixup; Beta(25, 25) as
        in the authors' code).

    Args:
        x: Batch of at least two samples; any floating dtype or uint8 (rounded to nearest).
        alpha: Concentration of the shares around 1/2, positive. Defaults to 25.
        min_share: Minimum share of either image, in ``[0.05, 0.5]``. Defaults to 0.1.
        other: One partner per sample, with the shape of ``x`` but not ``x`` itself. Defaults to another sample of the
            batch. Blending equal images changes nothing, so the result is not a negative.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device, memory format and value range of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or a parameter is not a number.
        ValueError: If there is a single sample and no ``other``, ``other`` does not fit or is ``x``, or a parameter is
            out of range.

    Example:
        >>> x = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])
        >>> blend = mixup(x)
        >>> bool((blend > 0.1).all() and (blend < 0.9).all())
        True
    """
    check_batch(x, generator)
    alpha, min_share = check_mixup(alpha, min_share)
    partner = draw_partners(x, other, "mixup", generator)
    share = random_beta(alpha, len(x), device=x.device, generator=generator).clamp_(min_share, 1 - min_share)
    return apply_blend(x, share, partner)


def check_mixup(alpha: float, min_share: float) -> tuple[float, float]:
    """Return the settings of mixup as floats, or raise TypeError or ValueError."""
    return check_positive(alpha, "alpha"), check_within(min_share, "min_share", LEAST_SHARE, 0.5)


def apply_blend(x: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """Return ``share * x + (1 - share) * partner`` for every sample.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        share: Share of the sample itself, ``(B,)``.
        partner: One partner per sample, with the shape of ``x``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``; uint8 is rounded to nearest.
    """
    view, restore = spatial_view(x)
    partner = spatial_view(laid_out_as(partner, x))[0]
    weight = share.view(-1, 1, 1, 1, 1)
    if x.dtype == torch.uint8:
        return restore(torch.lerp(partner.float(), view.float(), weight).round_().to(torch.uint8))
    return restore(torch.lerp(partner, view, weight.to(x.dtype)))


def cutmix(
    x: Tensor,
    beta: float = 1.0,
    min_area: float = 0.1,
    *,
    other: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fill a box of each image with the same region of another one.

    Each sample draws its own box. Its area is a share ``1 - l`` of the image with ``l ~ Beta(beta, beta)``, its aspect
    ratio is the image's, its center is uniform over the image, and parts outside the image are cut off. A box of a few
    pixels, or one that leaves only a few, would give a real image rather than a negative. After cutting, the box
    therefore covers at least ``min_area`` and at most ``1 - min_area``; a box cut too small is extended inwards.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (cutmix).

    Args:
        x: Batch of at least two samples; any floating dtype or uint8.
        beta: Concentration of the area share around 1/2, positive. Defaults to 1, the uniform distribution.
        min_area: Minimum share of the area that either image keeps, in ``[1/64, 0.5]``. Defaults to 0.1.
        other: One partner per sample, with the shape of ``x`` but not ``x`` itself. Defaults to another sample of the
            batch. A box in which both images are equal changes nothing, so the result is not a negative.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or a parameter is not a number.
        ValueError: If there is a single sample and no ``other``, ``other`` does not fit or is ``x``, a parameter is out
            of range, or no box of whole pixels leaves both images ``min_area``.

    Example:
        >>> x = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
        >>> share = cutmix(x).mean((1, 2, 3))
        >>> bool((share >= 0.1).all() and (share <= 0.9).all())
        True
    """
    check_batch(x, generator)
    beta = check_positive(beta, "beta")
    batch, height, width = x.shape[0], x.shape[-2], x.shape[-1]
    partner = draw_partners(x, other, "cutmix", generator)
    area = 1 - random_beta(beta, batch, device=x.device, generator=generator)
    row = random_integers(0, height - 1, batch, like=x, generator=generator)
    column = random_integers(0, width - 1, batch, like=x, generator=generator)
    return apply_boxes(x, cut_boxes(area, row, column, height, width, min_area), partner)


def cut_boxes(area: Tensor, row: Tensor, column: Tensor, height: int, width: int, min_area: float) -> Boxes:
    """Return boxes of a given area around given centers, cut to the image and to the allowed sizes.

    Args:
        area: Share of the area in ``[0, 1]``, ``(B,)``.
        row: Row of the center, ``(B,)``.
        column: Column of the center, ``(B,)``.
        height: Height of the images.
        width: Width of the images.
        min_area: Minimum share of the area both inside and outside every box.

    Returns:
        One box per sample.
    """
    (least_height, most_height), (least_width, most_width) = check_box_sides(min_area, height, width)
    scale = area.sqrt()
    top, bottom = _cut_side(scale, row, height, least_height, most_height)
    left, right = _cut_side(scale, column, width, least_width, most_width)
    return Boxes(top, bottom, left, right)


def _cut_side(scale: Tensor, center: Tensor, size: int, least: int, most: int) -> tuple[Tensor, Tensor]:
    length = (scale * size).round().long().clamp(least, most)
    begin = center - length // 2
    end = (begin + length).clamp(max=size)
    begin = begin.clamp(min=0)
    length = (end - begin).clamp(min=least)
    begin = torch.minimum(begin, size - length)  # at the far edge, a side that was cut too short grows backwards
    return begin, begin + length


def check_box_sides(min_area: float, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the bounds of the box height and of the box width that leave both images ``min_area``.

    Raises:
        TypeError: If ``min_area`` is not a number.
        ValueError: If ``min_area`` is out of range, or no side of whole pixels lies between the bounds.
    """
    min_area = check_min_area(min_area)
    # The tolerance keeps rounding from excluding a side that is mathematically exact, such as sqrt(0.25) * 8.
    sides = [
        (math.ceil(math.sqrt(min_area) * size - 1e-9), math.floor(math.sqrt(1 - min_area) * size + 1e-9))
        for size in (height, width)
    ]
    if any(least > most for least, most in sides):
        raise ValueError(
            f"min_area must allow a box of whole pixels in {height} x {width} images, but got {min_area:g}"
        )
    return sides[0], sides[1]


def check_min_area(min_area: float) -> float:
    """Return ``min_area`` as a float, or raise TypeError or ValueError."""
    return check_within(min_area, "min_area", LEAST_AREA, 0.5)


def cutout(
    x: Tensor, size: tuple[float, float] = (0.3125, 0.625), *, generator: torch.Generator | None = None
) -> Tensor:
    """Fill a square of each image with the mean color of that square.

    Each sample draws the side and then the position, uniform over all positions inside the image, including the last
    row and column. Each frame of a clip is filled with its own mean color of the square. With the mean color, the
    square does not stand out pixel by pixel. But a square that already has a single color, such as sky or a plain
    background, comes out unchanged and is not a negative.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (cutout; the sides of 10
        to 19 of 32 pixels and the mean color follow the authors' code).

    Args:
        x: Batch of images or clips; any floating dtype or uint8 (the mean is rounded to nearest).
        size: Bounds of the side as fractions of the shorter image side, within ``[1/8, 1]``. The upper bound is
            exclusive unless both are equal, and the side is never below 2 pixels. Defaults to (0.3125, 0.625).
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device, memory format and value range of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or ``size`` is not a pair of numbers.
        ValueError: If ``size`` is out of range, or the images are too small for a square of 2 pixels.

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
        boxes: One box per sample, not empty.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    # Half precision cannot represent these sums; integers are summed exactly.
    exact = {torch.uint8: torch.int64, torch.float64: torch.float64}.get(x.dtype, torch.float32)
    outside = outside_mask(boxes, view.shape[2], view.shape[3], x.dtype, view.shape[4])
    total = (view * (1 - outside)).sum(dim=(2, 3), keepdim=True, dtype=exact)
    mean = total / boxes.area().view(-1, 1, 1, 1, 1)
    if x.dtype == torch.uint8:
        mean = mean.round_()
    return restore(fill_boxes(view, mean.to(x.dtype), outside))


def check_sides(size: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """Return the minimum and maximum side of the square in pixels.

    Raises:
        TypeError: If ``size`` is not a pair of numbers.
        ValueError: If ``size`` is outside [1/8, 1], or the shorter side is below 2 pixels.
    """
    low, high = check_cutout_size(size)
    check_least_side(height, width, 2, "cutout")
    short = min(height, width)
    least = max(2, math.floor(low * short))
    return least, max(least, math.ceil(high * short) - 1 if low < high else 0)


def check_cutout_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return ``size`` as two floats, or raise TypeError or ValueError."""
    return check_interval(size, "size", LEAST_SIDE, 1.0)
