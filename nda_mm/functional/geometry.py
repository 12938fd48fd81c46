"""Negatives whose content is moved: rotate, shift and, of clips in time, shuffle_frames."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side
from .layout import is_channels_last, laid_out_as, spatial_view
from .sampling import random_integers, random_permutations

#: Rotations closer to a full turn than this many degrees are too close to the image itself: at 5, the edges of 32 x 32
#: pixels have moved by 1.4.
LEAST_DEGREES = 5.0
#: The least distance of a shift, as a share of the side: 2 of 32 pixels, in either direction.
LEAST_DISTANCE = 1 / 16


def rotate(
    x: Tensor,
    degrees: float | tuple[float, float] = (30.0, 330.0),
    *,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Turn each image about its center, magnified so that no corner stays empty.

    Empty corners would tell a negative from a real image at the first glance and teach nothing. So the turned image is
    magnified, by no more than needed, until it covers the frame (a square at 45 degrees by 1.41, at 180 by none), and
    every pixel of the result is real content, bilinearly interpolated.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; rotation by 60 degrees
        is present in the authors' code, though not among the published runs.

    Args:
        x: The batch; any floating dtype or uint8 (rounded to nearest). Below float32, interpolation is in float32.
        degrees: The angle, counter-clockwise, or its bounds, from which every sample draws uniformly. Default
            (30, 330). A full turn, and what is within 5 degrees of it, is refused: it is the image itself.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device, memory format and value range of ``x``.

    Raises:
        TypeError: If the dtype is refused or ``degrees`` is neither a number nor a pair.
        ValueError: If the angles come too close to a full turn, or a side is shorter than 2.

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
    """Turn every sample counter-clockwise by its own angle and magnify it to cover the frame.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``, sides of at least 2.
        degrees: ``(B,)`` angles.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    height, width = x.shape[-2:]
    working = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    pixels = x.reshape(x.shape[0], -1, height, width).to(working)
    angle = torch.deg2rad(degrees.to(working))
    sine, cosine = angle.sin(), angle.cos()
    # Half sides between the centers of the outermost pixels: sampling within them never meets the border.
    tall, wide = height - 1, width - 1
    zoom = torch.maximum(cosine.abs() + sine.abs() * (tall / wide), cosine.abs() + sine.abs() * (wide / tall))
    cosine, sine, none = cosine / zoom, sine / zoom, torch.zeros_like(sine)
    # Rows of the map from a place in the result to its source, in units of the half sides (y points down).
    across = torch.stack((cosine, -sine * (tall / wide), none), dim=1)
    down = torch.stack((sine * (wide / tall), cosine, none), dim=1)
    places = nnf.affine_grid(torch.stack((across, down), dim=1), list(pixels.shape), align_corners=True)
    turned = nnf.grid_sample(pixels, places, mode="bilinear", padding_mode="border", align_corners=True)
    # Interpolation weights add up to 1 only within rounding; the range of the batch must hold exactly.
    least, most = pixels.detach().aminmax()
    turned = turned.clamp(least, most)
    turned = turned.round_() if x.dtype == torch.uint8 else turned
    return laid_out_as(turned.to(x.dtype).reshape(x.shape), x)


def check_degrees(degrees: float | tuple[float, float]) -> tuple[float, float]:
    """The bounds of the angle.

    Raises:
        TypeError: If ``degrees`` is neither a number nor a pair of numbers.
        ValueError: If the bounds are unordered or include an angle within 5 degrees of a full turn.
    """
    pair = (degrees, degrees) if isinstance(degrees, (int, float)) else degrees
    low, high = check_interval(pair, "degrees", -36000.0, 36000.0)
    turn = math.floor((low + LEAST_DEGREES) / 360) * 360  # the last full turn that could be too close to `low`
    if low - turn < LEAST_DEGREES or turn + 360 - high < LEAST_DEGREES:
        raise ValueError(
            f"degrees must stay {LEAST_DEGREES:g} away from a full turn, which is the image itself, but got {degrees!r}"
        )
    return low, high


def shift(
    x: Tensor, share: tuple[float, float] = (0.3125, 0.75), *, generator: torch.Generator | None = None
) -> Tensor:
    """Move the content of each image down and right, and what leaves at one edge enters at the opposite one.

    Every sample draws both distances for itself, in whole pixels, at least one and less than the size, so that the
    image never returns to itself. What repeats with the distance does: a periodic texture shifted by its period is
    itself, and a plain margin that wraps around looks real; then the result is not a negative.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113; a circular shift by 10
        to 24 of 32 pixels is present in the authors' code, though not among the published runs.

    Args:
        x: The batch; any floating dtype or uint8.
        share: Bounds of the distances as a share of height and width, within ``[1/16, 15/16]``. Defaults to
            (0.3125, 0.75).
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is refused or ``share`` is not a pair of numbers.
        ValueError: If ``share`` is out of its range, or a side is shorter than 2.

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
    """Move every sample circularly by its own distances.

    The rows are written twice side by side; a row that wraps around is then a run of pixels that begins somewhere in
    the first copy, and the whole batch is one gather of such runs.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        down: ``(B,)`` integers in ``[0, H)``.
        right: ``(B,)`` integers in ``[0, W)``.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
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
    """The least and the greatest distance in pixels along a side.

    Raises:
        TypeError: If ``share`` is not a pair of numbers.
        ValueError: If ``share`` leaves [1/16, 15/16] or is unordered, or the side is shorter than 2.
    """
    low, high = check_share(share)
    if size < 2:
        raise ValueError(f"shift needs sides of at least 2 pixels, but got one of {size}")
    least = min(max(1, math.ceil(low * size)), size - 1)
    return least, max(least, min(size - 1, math.floor(high * size)))


def check_share(share: tuple[float, float]) -> tuple[float, float]:
    """Return ``share`` as two floats, or raise TypeError or ValueError."""
    return check_interval(share, "share", LEAST_DISTANCE, 1 - LEAST_DISTANCE)


def shuffle_frames(x: Tensor, chunks: int | None = None, *, generator: torch.Generator | None = None) -> Tensor:
    """Put the frames of each clip, or runs of consecutive frames, into another order.

    Every clip has its own order, never the given one, all others equally likely. Each frame is a real one; only
    the motion is wrong. Frames that are equal cannot be told apart: a still clip stays what it is, not a negative.

    Source:
        Video negatives are a use of Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113; this transform of the time axis is an addition of this package.

    Args:
        x: The clips; any floating dtype or uint8.
        chunks: Into how many runs of equal length to cut a clip, at least 2, a divisor of its length; None shuffles
            single frames. Defaults to None.
        generator: The source of randomness, on the device of ``x``; torch's default one if None.

    Shape:
        ``(B, C, T, H, W)``, and the same out.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is refused.
        ValueError: If ``x`` holds images instead of clips, a clip has one frame, or ``chunks`` does not divide it.

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
    """Put run ``permutation[b, k]`` of the frames of clip ``b`` at place ``k``.

    Args:
        x: ``(B, C, T, H, W)``.
        permutation: ``(B, chunks)`` integers, ``chunks`` a divisor of ``T``.

    Returns:
        A new tensor of the shape, dtype, device and memory format of ``x``.
    """
    batch, chunks = permutation.shape
    channels_last = is_channels_last(x)
    ordered = x.movedim(1, -1) if channels_last else x.contiguous()
    planes = 1 if channels_last else x.shape[1]  # of each clip, in which the runs of frames lie one after the other
    plane = torch.arange(batch * planes, device=x.device).view(batch, planes, 1) * chunks
    index = (plane + permutation[:, None]).view(-1)
    shuffled = ordered.reshape(len(index), -1).index_select(0, index).view(ordered.shape)
    return shuffled.movedim(-1, 1) if channels_last else shuffled


def check_chunks(chunks: int | None, frames: int) -> int:
    """Return the number of runs of frames, or raise TypeError or ValueError."""
    if frames < 2:
        raise ValueError(f"frames can be put into another order from 2 frames on, but the clips have {frames}")
    if chunks is None:
        return frames
    check_chunk_count(chunks)
    if frames % chunks:
        fitting = [divisor for divisor in range(2, frames + 1) if frames % divisor == 0]
        raise ValueError(f"{chunks} chunks do not divide clips of {frames} frames; these numbers do: {fitting}")
    return chunks


def check_chunk_count(chunks: int) -> int:
    """Return ``chunks`` if it is an int of at least 2, or raise TypeError or ValueError."""
    if type(chunks) is not int:
        raise TypeError(f"chunks must be an int or None, but got {chunks!r}")
    if chunks < 2:
        raise ValueError(f"chunks must be at least 2 for another order to exist, but got {chunks}")
    return chunks
