"""Negatives made of others: one of several for each sample, stages that are saved, a leak of known size; and blocks."""

import copy
import io
import itertools
from collections import Counter

import pytest
import torch
from scipy import stats
from tiny_pixels import seeded
from torch import nn

from nda_mm import functional as F
from nda_mm.negatives import Curriculum, IdentityLeak, Jigsaw, Negative, RandomNegative, build_negative
from nda_mm.negatives.combined import change_blocks, check_blocks

JIGSAW, STITCH, CUTOUT = dict(type="Jigsaw"), dict(type="Stitch"), dict(type="Cutout")


class Paint(Negative):
    """Paints a batch in one color, which tells who made a sample."""

    def __init__(self, color):
        super().__init__()
        self.color = color

    def make(self, x, other, generator):
        return torch.full_like(x, self.color)


def test_random_negative_gives_every_sample_one_kind_by_weight():
    negative = RandomNegative([Paint(1), Paint(2), Paint(3)], weights=[1, 2, 5])
    out = negative(torch.zeros(8000, 1, 2, 2), generator=seeded()).flatten(1)
    assert torch.equal(out.amin(dim=1), out.amax(dim=1))
    counts = Counter(out[:, 0].int().tolist())
    assert stats.chisquare([counts[1], counts[2], counts[3]], [1000, 2000, 5000]).pvalue > 0.01


def test_random_negative_takes_each_sample_from_the_whole_batchs_negatives():
    x = (torch.rand(5, 3, 8, 8, generator=seeded(1)) * 255).byte().contiguous(memory_format=torch.channels_last)
    negative = RandomNegative([JIGSAW, STITCH])
    out = negative(x, generator=seeded(2))
    generator = seeded(2)
    choice = (torch.rand(5, generator=generator) >= 0.5).int()
    made = [F.jigsaw(x, generator=generator), F.stitch(x, generator=generator)]
    assert torch.equal(out, torch.stack([made[kind][sample] for sample, kind in enumerate(choice.tolist())]))
    assert out.stride() == x.stride()


def test_combinations_are_what_their_parts_are():
    shuffle = dict(type="ShuffleFrames")
    assert RandomNegative([JIGSAW, STITCH]).needs_partner
    assert not RandomNegative([JIGSAW, CUTOUT]).needs_partner
    with pytest.raises(ValueError, match="stitch"):
        RandomNegative([JIGSAW, STITCH])(torch.rand(1, 3, 8, 8))
    assert RandomNegative([JIGSAW, shuffle]).reorders_frames
    assert not RandomNegative([JIGSAW, CUTOUT]).reorders_frames
    assert Curriculum([(0, JIGSAW), (5, shuffle)]).reorders_frames
    assert IdentityLeak(STITCH).needs_partner and not IdentityLeak(JIGSAW).needs_partner
    assert IdentityLeak(shuffle).reorders_frames
    with pytest.raises(ValueError, match="32"):
        IdentityLeak(dict(type="Jigsaw", grid=3)).check_size(32, 32)


@pytest.mark.parametrize(("kind", "settings", "error"), [
    ("RandomNegative", dict(negatives=[]), ValueError),
    ("RandomNegative", dict(weights=[1], negatives=[JIGSAW, CUTOUT]), ValueError),
    ("RandomNegative", dict(weights=[1, 0], negatives=[JIGSAW, CUTOUT]), ValueError),
    ("Curriculum", dict(milestones=[]), ValueError),
    ("Curriculum", dict(milestones=[(5, JIGSAW)]), ValueError),
    ("Curriculum", dict(milestones=[(0, JIGSAW), (0, CUTOUT)]), ValueError),
    ("Curriculum", dict(milestones=[JIGSAW]), TypeError),
    ("IdentityLeak", dict(share=0, negative=JIGSAW), ValueError),
    ("IdentityLeak", dict(share=1, negative=JIGSAW), ValueError),
])  # fmt: skip
def test_settings_are_refused_when_it_is_built(kind, settings, error):
    with pytest.raises(error, match=next(iter(settings)).removesuffix("s")):
        build_negative(dict(type=kind, **settings))


def curriculum():
    return Curriculum(
        [(0, Paint(1)), (10, Paint(2)), (20, RandomNegative([Curriculum([(0, Paint(3)), (30, Paint(4))])]))]
    )


def test_curriculum_switches_at_its_milestones_and_tells_its_stages():
    negative = curriculum()
    for iteration, color in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (29, 3), (30, 4), (10**6, 4)]:
        negative.set_iteration(iteration)
        assert torch.equal(negative(torch.zeros(2, 1, 2, 2)), torch.full((2, 1, 2, 2), float(color)))
    for wrong, error in ((-1, ValueError), (True, TypeError)):
        with pytest.raises(error, match="iteration"):
            negative.set_iteration(wrong)


def test_curriculum_resumes_from_a_checkpoint_of_its_model():
    model = nn.ModuleDict(dict(net=nn.Linear(2, 2), negative=curriculum()))
    model["negative"].set_iteration(30)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert state["negative.iteration"].item() == 30
    resumed = nn.ModuleDict(dict(net=nn.Linear(2, 2), negative=curriculum()))
    resumed.load_state_dict(state)
    assert resumed["negative"](torch.zeros(1, 1, 1, 1)).item() == 4
    assert copy.deepcopy(resumed)["negative"](torch.zeros(1, 1, 1, 1)).item() == 4
    resumed.load_state_dict({}, strict=False)  # without its state it keeps its iteration
    assert resumed["negative"](torch.zeros(1, 1, 1, 1)).item() == 4


def test_the_share_leaks_and_the_rest_is_the_negative():
    x = torch.rand(20_000, 1, 4, 4, generator=seeded(1))
    leaky, whole = (negative(x, generator=seeded(2)) for negative in (IdentityLeak(Jigsaw()), Jigsaw()))
    leaks, untouched = ((x == made).flatten(1).all(dim=1) for made in (leaky, whole))
    assert stats.binomtest(int(leaks.sum()), len(x), 1 / 23).pvalue > 0.01
    assert torch.equal(leaky[~leaks], whole[~leaks])
    assert not untouched.any()


def test_a_leak_keeps_the_layout_and_the_input_and_passes_the_iteration_on():
    x = torch.rand(6, 3, 8, 8, generator=seeded(1)).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    out = IdentityLeak(STITCH, share=0.5)(x, generator=seeded(2))
    assert out.stride() == x.stride()
    assert torch.equal(x, before)
    assert out.data_ptr() != x.data_ptr()
    staged = IdentityLeak(Curriculum([(0, dict(type="Jigsaw", grid=4)), (9, JIGSAW)]))
    staged.set_iteration(9)
    assert staged.negative.current.grid == (2, 2)


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
        (dict(type="ShuffleFrames", chunks=3), (B, N, C, L, H, W), "but got 3"),
        (dict(type="Jigsaw", grid=3), (B, N, C, L, H, W), "Jigsaw"),
        (dict(type="Stitch"), (1, N, C, L, H, W), "Stitch"),
    ):
        with pytest.raises(ValueError, match=message):
            check_blocks(build_negative(settings), shape)
    check_blocks(build_negative(dict(type="ShuffleFrames")), (1, N, C, L, H, W))
