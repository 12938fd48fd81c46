"""A negative of a clip: its frames in another order."""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import check_batch
from .layout import is_channels_last
from .sampling import random_permutations


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
