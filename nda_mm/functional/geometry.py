"""Negatives that move content: rotate and shift in space, and shuffle_frames in time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side
from .layout import is_channels_last, laid_out_as, spatial_view
from .sampling import random_integers, random_permutations

#: Minimum distance of a rotation from a full turn, in degrees. Closer ones are too similar to the image itself: at 5
#: degrees, the edges of a 32 x 32 image move by 1.4 pixels.
LEAST_DEGREES = 5.0
#: Minimum distance of a shift in either direction, as a fraction of the side: 2 of 32 pixels.
LEAST_DISTANCE = 1 / 16


def rotate(
    x: Tensor,
    degrees: float | tuple[float, float] = (30.0, 330.0),
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Rotate each image about its center and zoom in so that no corner stays empty.

    Empty corners would give a negative away at first glance and teach nothing. The rotated image is therefore magnified
    just enough to cover the frame (by 1.41 for a square at 45 degrees, not at all at 180), and every pixel of the
    result is real content, bilinearly interpolated.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; the authors' code has a
        rotation by 60 degrees, which is not among the published runs.

    Args:
        x: Batch of images or clips; any floating dtype or uint8 (rounded to nearest). Types below float32 are
            interpolated in float32.
        degrees: Counter-clockwise angle, or bounds ``(low, high)`` from which each sample draws uniformly. Angles
            within 5 degrees of a full turn are not allowed: they give the image itself. Defaults to (30, 330).
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device, memory format and value range of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or ``degrees`` is neither a number nor a pair.
        ValueError: If the angles come within 5 degrees of a full turn, or a side is shorter than 2 pixels.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> rotate(x, degrees=180.0).round().tolist()
        [[[[3.0, 2.0], [1.0, 0.0]]]]
    """
    check_batch(x, generator)
    low, high = check_degrees(degrees)
    check_least_side(x.shape[-2], x.shape[-1], 2, "rotate")
    angle = torch.rand(x.shape[0], device=x.device, generator=generator) * (high - low) + low
    return apply_rotation(x, angle)


def apply_rotation(x: Tensor, degrees: Tensor) -> Tensor:
    """Rotate every sample counter-clockwise by its own angle and zoom in to cover the frame.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``, with sides of at least 2 pixels.
        degrees: Angles, ``(B,)``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    height, width = x.shape[-2:]
    working = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    pixels = x.reshape(x.shape[0], -1, height, width).to(working)
    angle = torch.deg2rad(degrees.to(working))
    sine, cosine = angle.sin(), angle.cos()
    # Sides between the centers of the outermost pixels: sampling within them never reaches the border.
    tall, wide = height - 1, width - 1
    zoom = torch.maximum(cosine.abs() + sine.abs() * (tall / wide), cosine.abs() + sine.abs() * (wide / tall))
    cosine, sine, none = cosine / zoom, sine / zoom, torch.zeros_like(sine)
    # Rows of the affine map from output to source coordinates, in units of half the sides (y points down).
    across = torch.stack((cosine, -sine * (tall / wide), none), dim=1)
    down = torch.stack((sine * (wide / tall), cosine, none), dim=1)
    places = nnf.affine_grid(torch.stack((across, down), dim=1), list(pixels.shape), align_corners=True)
    turned = nnf.grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=True)
    # Interpolation weights sum to 1 only up to rounding, but the value range must be kept exactly.
    least, most = pixels.detach().aminmax()
    turned = turned.clamp(least, most)
    turned = turned.round_() if x.dtype == torch.uint8 else turned
    return laid_out_as(turned.to(x.dtype).reshape(x.shape), x)


def check_degrees(degrees: float | tuple[float, float]) -> tuple[float, float]:
    """Return the bounds of the angle.

    Raises:
        TypeError: If ``degrees`` is neither a number nor a pair of numbers.
        ValueError: If the bounds are not ordered, or include an angle within 5 degrees of a full turn.
    """
    pair = (degrees, degrees) if isinstance(degrees, (int, float)) else degrees
    low, high = check_interval(pair, "degrees", -36000.0, 36000.0)
    turn = math.floor((low + LEAST_DEGREES) / 360) * 360  # the last full turn that could be too close to `low`
    if low - turn < LEAST_DEGREES or turn + 360 - high < LEAST_DEGREES:
        raise ValueError(
            f"degrees must stay {LEAST_DEGREES:g} away from a full turn, i.e. the image itself, but got {degrees!r}"
        )
    return low, high


def shift(
    x: Tensor, share: tuple[float, float] = (0.3125, 0.75), *, generator: torch.Generator | None = None
) -> Tensor:
    """Shift each image circularly, down and to the right.

    Each sample draws both distances in whole pixels, at least one and less than the side, so that the shift is never
    the identity. Repeated content can still come out unchanged: a periodic texture shifted by its period is the same
    texture, and a plain margin that wraps around looks real. Such a result is not a negative.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; the authors' code has a
        circular shift by 10 to 24 of 32 pixels, which is not among the published runs.

    Args:
        x: Batch of images or clips; any floating dtype or uint8.
        share: Bounds of the distances as fractions of the height and width, within ``[1/16, 15/16]``. Defaults to
            (0.3125, 0.75).
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or ``share`` is not a pair of numbers.
        ValueError: If ``share`` is out of range, or a side is shorter than 2 pixels.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> shift(x).tolist()
        [[[[3.0, 2.0], [1.0, 0.0]]]]
    """
    check_batch(x, generator)
    batch, height, width = x.shape[0], x.shape[-2], x.shape[-1]
    down = random_integers(*check_distances(share, height), batch, like=x, generator=generator)
    right = random_integers(*check_distances(share, width), batch, like=x, generator=generator)
    return apply_shift(x, down, right)


def apply_shift(x: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Shift every sample circularly by its own distances.

    Each row is written twice, side by side. A row that wraps around is then a contiguous run of pixels that starts in
    the first copy, and the whole batch is a single gather of such runs.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        down: Rows to shift by, ``(B,)`` integers in ``[0, H)``.
        right: Columns to shift by, ``(B,)`` integers in ``[0, W)``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    doubled = torch.cat((view, view), dim=3)
    # All runs of ``width`` pixels, as overlapping rows in the same memory.
    runs = doubled.as_strided((doubled.numel() // inner - width + 1, width * inner), (inner, 1))
    row = (torch.arange(height, device=x.device) - down[:, None]) % height
    line = torch.arange(batch * planes, device=x.device).view(batch, planes, 1) * height + row[:, None]
    index = line * (2 * width) + (width - right).view(batch, 1, 1)
    return restore(runs.index_select(0, index.view(-1)).view(view.shape))


def check_distances(share: tuple[float, float], size: int) -> tuple[int, int]:
    """Return the minimum and maximum distance in pixels along a side.

    Raises:
        TypeError: If ``share`` is not a pair of numbers.
        ValueError: If ``share`` is outside [1/16, 15/16] or not ordered, or the side is shorter than 2 pixels.
    """
    low, high = check_share(share)
    if size < 2:
        raise ValueError(f"shift needs sides of at least 2 pixels, but got a side of {size}")
    least = min(max(1, math.ceil(low * size)), size - 1)
    return least, max(least, min(size - 1, math.floor(high * size)))


def check_share(share: tuple[float, float]) -> tuple[float, float]:
    """Return ``share`` as two floats, or raise TypeError or ValueError."""
    return check_interval(share, "share", LEAST_DISTANCE, 1 - LEAST_DISTANCE)


def shuffle_frames(x: Tensor, chunks: int | None = None, *, generator: torch.Generator | None = None) -> Tensor:
    """Shuffle the frames of each clip, or runs of consecutive frames.

    Each clip draws its own order, never the original one, with all others equally likely. Every frame stays real; only
    the motion is wrong. Equal frames cannot be told apart: a still clip comes out unchanged and is not a negative.

    Source:
        Video negatives follow Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113; shuffling along the time axis is an addition of this package.

    Args:
        x: Batch of clips; any floating dtype or uint8.
        chunks: Number of runs of equal length to cut each clip into, at least 2 and a divisor of the clip's length.
            Defaults to None, which shuffles single frames.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is not supported.
        ValueError: If ``x`` holds images instead of clips, a clip has a single frame, or ``chunks`` does not divide it.

    Example:
        >>> x = torch.arange(2.0).view(1, 1, 2, 1, 1)
        >>> shuffle_frames(x).flatten().tolist()
        [1.0, 0.0]
    """
    check_batch(x, generator, clip_only=True)
    count = check_chunks(chunks, x.shape[2])
    permutation = random_permutations(x.shape[0], count, device=x.device, generator=generator)
    return apply_order(x, permutation)


def apply_order(x: Tensor, permutation: Tensor) -> Tensor:
    """Put run ``permutation[b, k]`` of the frames of clip ``b`` at position ``k``.

    Args:
        x: ``(B, C, T, H, W)``.
        permutation: Indices of runs, ``(B, chunks)``, where ``chunks`` divides ``T``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    batch, chunks = permutation.shape
    channels_last = is_channels_last(x)
    ordered = x.movedim(1, -1) if channels_last else x.contiguous()
    planes = 1 if channels_last else x.shape[1]  # per clip; each plane stores its runs of frames one after the other
    plane = torch.arange(batch * planes, device=x.device).view(batch, planes, 1) * chunks
    index = (plane + permutation[:, None]).view(-1)
    shuffled = ordered.reshape(len(index), -1).index_select(0, index).view(ordered.shape)
    return shuffled.movedim(-1, 1) if channels_last else shuffled


def check_chunks(chunks: int | None, frames: int) -> int:
    """Return the number of runs of frames, or raise TypeError or ValueError."""
    if frames < 2:
        raise ValueError(f"shuffle_frames needs clips of at least 2 frames, but got {frames}")
    if chunks is None:
        return frames
    check_chunk_count(chunks)
    if frames % chunks:
        fitting = [divisor for divisor in range(2, frames + 1) if frames % divisor == 0]
        raise ValueError(f"chunks must divide clips of {frames} frames, so be one of {fitting}, but got {chunks}")
    return chunks


def check_chunk_count(chunks: int) -> int:
    """Return ``chunks`` if it is an int of at least 2, or raise TypeError or ValueError."""
    if type(chunks) is not int:
        raise TypeError(f"chunks must be an int or None, but got {chunks!r}")
    if chunks < 2:
        raise ValueError(f"chunks must be at least 2, or there is nothing to shuffle, but got {chunks}")
    return chunks
