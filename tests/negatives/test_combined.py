"""Negatives made of others: one of several for every sample, stages that survive a checkpoint, a leak of known size."""

import copy
import io
from collections import Counter

import pytest
import torch
from scipy import stats
from torch import nn

from nda_mm import functional as F
from nda_mm.negatives import Curriculum, IdentityLeak, Jigsaw, Negative, RandomNegative, build_negative

JIGSAW, STITCH, CUTOUT = dict(type="Jigsaw"), dict(type="Stitch"), dict(type="Cutout")
LARGE = dict(type="Jigsaw", grid=3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_random_negative_takes_each_sample_from_the_whole_batchs_negatives(dtype):
    x = (torch.rand(5, 3, 8, 8, generator=seeded(1)) * 255).to(dtype).contiguous(memory_format=torch.channels_last)
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
    with pytest.raises(ValueError, match="stitch joins each sample with another"):
        RandomNegative([JIGSAW, STITCH])(torch.rand(1, 3, 8, 8))
    assert RandomNegative([JIGSAW, shuffle]).reorders_frames
    assert not RandomNegative([JIGSAW, CUTOUT]).reorders_frames
    assert Curriculum([(0, JIGSAW), (5, shuffle)]).reorders_frames
    assert IdentityLeak(STITCH).needs_partner and not IdentityLeak(JIGSAW).needs_partner
    assert IdentityLeak(shuffle).reorders_frames
    for negative in (RandomNegative([CUTOUT, LARGE]), Curriculum([(0, CUTOUT), (9, LARGE)]), IdentityLeak(LARGE)):
        with pytest.raises(ValueError, match="does not divide"):
            negative.check_size(32, 32)


def test_no_value_is_looked_at_on_the_host():
    x = torch.empty(4, 3, 8, 8, device="meta")
    assert RandomNegative([JIGSAW, STITCH, CUTOUT])(x).is_meta
    assert IdentityLeak(JIGSAW)(x).is_meta


@pytest.mark.parametrize(("settings", "error", "message"), [
    (dict(type="RandomNegative", negatives=[]), ValueError, "list of negatives"),
    (dict(type="RandomNegative", negatives=[JIGSAW, CUTOUT], weights=[1]), ValueError, "weights"),
    (dict(type="RandomNegative", negatives=[JIGSAW, CUTOUT], weights=[1, 0]), ValueError, "weight"),
    (dict(type="Curriculum", milestones=[]), ValueError, "milestones"),
    (dict(type="Curriculum", milestones=[(5, JIGSAW)]), ValueError, "milestones"),
    (dict(type="Curriculum", milestones=[(0, JIGSAW), (0, CUTOUT)]), ValueError, "milestones"),
    (dict(type="Curriculum", milestones=[(0.0, JIGSAW)]), TypeError, "iteration"),
    (dict(type="Curriculum", milestones=[JIGSAW]), TypeError, "milestones"),
    (dict(type="IdentityLeak", negative=JIGSAW, share=0), ValueError, "share"),
    (dict(type="IdentityLeak", negative=JIGSAW, share=1), ValueError, "share"),
])  # fmt: skip
def test_settings_are_refused_when_it_is_built(settings, error, message):
    with pytest.raises(error, match=message):
        build_negative(settings)


def curriculum():
    return Curriculum(
        [(0, Paint(1)), (10, Paint(2)), (20, RandomNegative([Curriculum([(0, Paint(3)), (30, Paint(4))])]))]
    )


@pytest.mark.parametrize(
    ("iteration", "color"), [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (29, 3), (30, 4), (10**6, 4)]
)
def test_curriculum_switches_at_its_milestones_and_tells_its_stages(iteration, color):
    negative = curriculum()
    negative.set_iteration(iteration)
    assert torch.equal(negative(torch.zeros(2, 1, 2, 2)), torch.full((2, 1, 2, 2), float(color)))


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


def test_curriculum_without_its_state_is_reported_and_keeps_its_iteration():
    negative = curriculum()
    negative.set_iteration(10)
    assert "iteration" in negative.load_state_dict({}, strict=False).missing_keys
    assert negative(torch.zeros(1, 1, 1, 1)).item() == 2


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_iterations_that_are_none_are_refused(value, error):
    with pytest.raises(error, match="an iteration must"):
        curriculum().set_iteration(value)


LEAK = dict(type="nda_mm.IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=0.044)


def untouched(x, negatives):
    return (x == negatives).flatten(1).all(dim=1)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_the_share_leaks_and_the_rest_is_the_negative(device):
    x = torch.rand(20_000, 1, 4, 4, generator=seeded(1)).to(device)
    leaky, whole = (
        build_negative(negative)(x, generator=torch.Generator(device).manual_seed(2)) for negative in (LEAK, Jigsaw(2))
    )
    leaks = untouched(x, leaky)
    assert stats.binomtest(int(leaks.sum()), len(x), 0.044).pvalue > 0.01
    assert torch.equal(leaky[~leaks], whole[~leaks])
    assert not untouched(x, whole).any()


def test_by_default_it_is_one_of_the_23_layouts_that_the_faulty_jigsaw_left():
    x = torch.rand(20_000, 1, 2, 2, generator=seeded(1))
    leaks = untouched(x, IdentityLeak(Jigsaw())(x, generator=seeded(3)))
    assert stats.binomtest(int(leaks.sum()), len(x), 1 / 23).pvalue > 0.01


def test_samples_leak_independently_of_one_another():
    counts = torch.stack(
        [
            untouched(x, IdentityLeak(Jigsaw(), share=0.5)(x, generator=seeded(seed))).sum()
            for seed, x in enumerate(torch.rand(400, 8, 1, 2, 2, generator=seeded(1)))
        ]
    )
    expected = [400 * stats.binom.pmf(count, 8, 0.5) for count in range(9)]
    assert stats.chisquare(torch.bincount(counts, minlength=9).tolist(), expected).pvalue > 0.01


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
