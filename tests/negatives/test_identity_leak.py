"""The fault that is put back on purpose: as often as it says, and the negative itself otherwise."""

import copy

import pytest
import torch
from scipy import stats

from nda_mm.negatives import Curriculum, IdentityLeak, Jigsaw, build_negative

LEAK = dict(type="nda_mm.IdentityLeak", negative=dict(type="Jigsaw", grid=2), share=0.044)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.uint8])
@pytest.mark.parametrize("shape", [(6, 3, 8, 8), (6, 3, 4, 8, 8)])
def test_dtype_layout_and_input_are_kept(dtype, shape):
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    x = (torch.rand(shape, generator=seeded(1)) * 255).to(dtype).contiguous(memory_format=layout)
    before = x.clone()
    out = IdentityLeak(dict(type="Stitch"), share=0.5)(x, generator=seeded(2))
    assert (out.dtype, out.stride()) == (dtype, x.stride())
    assert torch.equal(x, before)
    assert out.data_ptr() != x.data_ptr()


def test_it_takes_after_its_negative():
    assert IdentityLeak(dict(type="Stitch")).needs_partner
    assert not IdentityLeak(dict(type="Jigsaw")).needs_partner
    assert IdentityLeak(dict(type="ShuffleFrames")).reorders_frames
    with pytest.raises(ValueError, match="does not divide"):
        IdentityLeak(dict(type="Jigsaw", grid=3)).check_size(32, 32)
    staged = IdentityLeak(Curriculum([(0, dict(type="Jigsaw", grid=4)), (9, dict(type="Jigsaw", grid=2))]))
    staged.set_iteration(9)
    assert staged.negative.current.grid == (2, 2)
    assert repr(copy.deepcopy(staged)) == repr(staged)


def test_nothing_is_looked_at_on_the_host():
    assert IdentityLeak(Jigsaw())(torch.empty(4, 3, 8, 8, device="meta")).is_meta


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be above 0 .* and below 1"):
        IdentityLeak(Jigsaw(), share=share)
