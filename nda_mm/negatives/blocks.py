"""Negatives of clips that are cut into blocks, as predictive coding takes them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..functional.sampling import random_partners
from .base import Negative

__all__ = ["change_blocks", "check_blocks"]


def change_blocks(negative: Negative, blocks: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    """A negative of every block, none of which is a block of real frames in their order.

    A change of the frames themselves (jigsaw, stitch, cutout, ...) is the same in all frames of all blocks of a clip. A
    change of their order is made **within** each block, each by itself: over the whole clip it could put blocks in
    another order, and each of them would be real. Partners are taken from other clips, never another block of the same.

    Args:
        negative: What makes them.
        blocks: Blocks of frames, one after the other in time.
        generator: The source of randomness, on the device of ``blocks``; torch's default one if None.

    Shape:
        ``(B, N, C, L, H, W)``, and the same out.

    Returns:
        A new tensor.

    Example:
        >>> from nda_mm.negatives import ShuffleFrames
        >>> blocks = torch.arange(4.0).view(1, 2, 1, 2, 1, 1)  # two blocks of two frames
        >>> change_blocks(ShuffleFrames(), blocks).flatten().tolist()
        [1.0, 0.0, 3.0, 2.0]
    """
    if negative.reorders_frames:
        other = None
        if negative.needs_partner:
            partners = random_partners(len(blocks), device=blocks.device, generator=generator)
            other = blocks[partners].flatten(0, 1)
        return negative(blocks.flatten(0, 1), other=other, generator=generator).unflatten(0, blocks.shape[:2])
    clips = blocks.transpose(1, 2).flatten(2, 3)
    changed = negative(clips, generator=generator)
    return changed.unflatten(2, (blocks.shape[1], blocks.shape[3])).transpose(1, 2)


def check_blocks(negative: Negative, shape: tuple[int, ...]) -> None:
    """Refuse blocks of which ``negative`` can't make negatives.

    Args:
        negative: What is to make them.
        shape: ``(B, N, C, L, H, W)``.

    Raises:
        ValueError: If frames or blocks are too few or too small, or there is no partner.
    """
    batch, blocks, _, length, height, width = shape
    name = type(negative).__name__
    try:
        negative.check_size(height, width, length if negative.reorders_frames else length * blocks)
    except ValueError as error:
        raise ValueError(f"{name} can't change blocks of {length} frames of {height}x{width}: {error}") from error
    if negative.needs_partner and batch < 2:
        raise ValueError(f"{name} joins each clip with another of its batch, but the batch has one")
