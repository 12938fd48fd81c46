"""Negatives of blocks: the same change in every frame of a clip, or another order within each block."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny_pixels import seeded

from nda_mm.negatives import RandomNegative, build_negative
from nda_mm.negatives.blocks import change_blocks, check_blocks

B, N, C, L, H, W = 4, 3, 2, 5, 8, 8


def clips() -> torch.Tensor:
    """Every frame of every block differs from every other."""
    return torch.rand(B, N, C, L, H, W, generator=seeded(1))


@pytest.mark.parametrize("kind", ["Jigsaw", "Stitch", "Cutout"])
def test_the_whole_clip_is_changed_alike(kind):
    """As one clip of all frames, and each frame as the same image would be."""
    blocks, negative = clips(), build_negative(dict(type=kind))
    changed = change_blocks(negative, blocks, generator=seeded())
    whole = blocks.transpose(1, 2).reshape(B, C, N * L, H, W)
    assert torch.equal(changed.transpose(1, 2).reshape(whole.shape), negative(whole, generator=seeded()))
    still = blocks[:, :1, :, :1].expand_as(blocks)  # one image for all frames stays one image for all frames
    changed = change_blocks(negative, still, generator=seeded())
    assert torch.equal(changed, changed[:, :1, :, :1].expand_as(changed))


@pytest.mark.parametrize("kind", ["Mixup", "Shift", "ShuffleFrames"])
def test_no_negative_equals_any_real_block(kind):
    blocks, negative = clips(), build_negative(dict(type=kind))
    before = blocks.clone()
    for seed in range(10):
        changed = change_blocks(negative, blocks, generator=seeded(seed))
        assert changed.shape == blocks.shape
        for made, real in itertools.product(changed.flatten(0, 1), blocks.flatten(0, 1)):
            assert not torch.equal(made, real)
    assert torch.equal(blocks, before)


def test_frames_are_shuffled_within_their_block_and_each_block_by_itself():
    blocks, negative = clips(), build_negative(dict(type="ShuffleFrames"))
    changed = change_blocks(negative, blocks, generator=seeded())
    orders = set()
    for made, real in zip(changed.flatten(0, 1), blocks.flatten(0, 1)):
        order = tuple(
            next(j for j in range(L) if torch.equal(made[:, i], real[:, j]))  # StopIteration: from another block
            for i in range(L)
        )
        assert sorted(order) == list(range(L)) and order != tuple(range(L))
        orders.add(order)
    assert len(orders) > 1


def test_a_partner_is_another_clip_even_where_frames_are_shuffled_too():
    negative = RandomNegative([dict(type="ShuffleFrames"), dict(type="Mixup")])
    blocks = torch.arange(B).view(B, 1, 1, 1, 1, 1).expand(B, N, C, L, H, W).double()
    # A block of one color keeps it when it is shuffled, and when it is mixed with its own clip. So half of the blocks
    # are seen to change, and less if a partner could be another block of the same clip.
    counts = [
        int((change_blocks(negative, blocks, generator=seeded(seed)) != blocks).flatten(2).all(dim=2).sum())
        for seed in range(200)
    ]
    assert sum(counts) / 200 == pytest.approx(B * N / 2, abs=0.5)  # five standard errors; else at most 4.9


def test_what_can_not_be_changed_is_refused():
    """A shuffle is of one block: three blocks of five are fifteen frames, which three chunks divide, but not five."""
    for settings, shape, message in (
        (dict(type="ShuffleFrames"), (B, N, C, 1, H, W), "blocks of 1 frames"),
        (dict(type="ShuffleFrames", chunks=3), (B, N, C, L, H, W), "3 chunks"),
        (dict(type="Jigsaw", grid=3), (B, N, C, L, H, W), "Jigsaw"),
        (dict(type="Stitch"), (1, N, C, L, H, W), "Stitch"),
    ):
        with pytest.raises(ValueError, match=message):
            check_blocks(build_negative(settings), shape)
    check_blocks(build_negative(dict(type="ShuffleFrames")), (1, N, C, L, H, W))
