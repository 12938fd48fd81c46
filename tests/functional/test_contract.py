"""What every negative promises, for all of them: properties over shapes, dtypes, layouts and seeds."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_pixels import channels_last, seeded

from nda_mm import functional as F

ALL = sorted(F.__all__)
SPATIAL = [name for name in ALL if name != "shuffle_frames"]
PARTNERS = ["cutmix", "mixup", "stitch"]
#: The least batch; 1 of the others.
LEAST = {"tilemix": 3, **dict.fromkeys(PARTNERS, 2)}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8]


def call(name, x, seed=0, **settings):
    return getattr(F, name)(x, generator=seeded(seed), **settings)


def pixels(shape, dtype, seed=0):
    """A batch in which no two neighboring pixels, tiles, frames or samples agree."""
    values = torch.rand(shape, generator=seeded(seed), dtype=torch.float64)
    return (values * 255).to(dtype) if dtype == torch.uint8 else (values * 2 - 1).to(dtype)


@st.composite
def batches(draw):
    name = draw(st.sampled_from(ALL))
    even = name in ("jigsaw", "tilemix")
    height, width = (draw(st.integers(4, 9)) * (2 if even else 1) for _ in range(2))
    batch = draw(st.integers(LEAST.get(name, 1), 5))
    clip = name == "shuffle_frames" or draw(st.booleans())
    shape = (batch, draw(st.integers(1, 3)), *([draw(st.integers(2, 4))] if clip else []), height, width)
    x = pixels(shape, draw(st.sampled_from(DTYPES)), draw(st.integers(0, 99)))
    layout = draw(st.sampled_from(["contiguous", "channels_last", "strided"]))
    if layout == "channels_last":
        x = channels_last(x)
    elif layout == "strided":
        x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
    return name, x, layout, draw(st.integers(0, 10**6))


@given(batches())
@settings(max_examples=200, deadline=None, derandomize=True)
def test_promises(drawn):
    name, x, layout, seed = drawn
    before, state = x.clone(), torch.get_rng_state()
    out = call(name, x, seed)
    assert torch.equal(state, torch.get_rng_state()), "torch's own generator was used"
    assert torch.equal(x, before), "the input was touched"
    assert out.shape == x.shape
    assert out.dtype == x.dtype
    assert out.data_ptr() != x.data_ptr()
    assert out.min() >= x.min(), "the value range was left"
    assert out.max() <= x.max(), "the value range was left"
    assert not (out == x).flatten(1).all(dim=1).any(), "a sample came back as it was"
    if layout != "strided":
        assert out.stride() == x.stride(), "the memory format was lost"
    assert torch.equal(out, call(name, x, seed)), "the generator was not honored"
    contiguous = call(name, before.contiguous(), seed)
    assert torch.allclose(out.double(), contiguous.double(), atol=1e-6), "the layout changed the result"


@pytest.mark.parametrize("name", SPATIAL)
def test_a_clip_is_changed_alike_in_every_frame(name):
    clip = pixels((4, 3, 5, 8, 6), torch.float32)
    out = call(name, clip, seed=3)
    for frame in range(5):
        assert torch.equal(out[:, :, frame], call(name, clip[:, :, frame].contiguous(), seed=3))


@pytest.mark.parametrize("name", ALL)
def test_samples_draw_for_themselves_and_calls_differ(name):
    x = pixels((1, 2, 6, 8, 8), torch.float32).expand(40, 2, 6, 8, 8).contiguous()
    if name in LEAST:  # equal samples, but two partners each
        x = x + torch.arange(40.0).view(40, 1, 1, 1, 1)
    torch.manual_seed(0)  # torch's own generator is used where none is given
    first, second = (getattr(F, name)(x) for _ in range(2))
    assert not torch.equal(first, second)
    assert len({tuple(sample.flatten().tolist()) for sample in first - x}) > 10
    torch.manual_seed(0)
    assert torch.equal(first, getattr(F, name)(x))


@pytest.mark.parametrize("name", ["cutout", "jigsaw", "mixup", "rotate"])
def test_gradients_flow_to_the_pixels(name):
    x = pixels((2, 1, 2, 4, 4), torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda batch: call(name, batch), x)


@pytest.mark.parametrize("name", PARTNERS)
def test_partners_are_given_or_found_in_the_batch(name):
    x, other = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    out = call(name, x, other=other)
    assert 0 < out.mean() < 1
    assert torch.equal(other, torch.ones(1, 3, 8, 8))
    last = other.contiguous(memory_format=torch.channels_last)
    assert torch.equal(call(name, x, other=last), out)
    with pytest.raises(ValueError, match=f"{name}.*one sample"):
        call(name, x)
    with pytest.raises(ValueError, match="other"):
        call(name, x, other=x)


def test_partners_that_do_not_fit_are_refused():
    x = pixels((4, 3, 8, 8), torch.float32)
    for other in (x[:1], x[:], x.detach()):
        with pytest.raises(ValueError, match="other"):
            F.stitch(x, other=other)
    with pytest.raises(TypeError, match="other"):
        F.stitch(x, other=(x * 9).to(torch.uint8))
    # The batch's memory alone makes no partner of itself.
    shifted, turned = pixels((5, 3, 8, 8), torch.float32), x.transpose(2, 3)
    for batch, other in ((shifted[:4], shifted[1:]), (x, turned)):
        assert torch.equal(call("stitch", batch, other=other), call("stitch", batch, other=other.clone()))


WEAKEST = {
    "mixup": dict(alpha=1e-9, min_share=0.05), "cutmix": dict(beta=1e-9, min_area=1 / 64),
    "cutout": dict(size=(0.125, 0.125)), "rotate": dict(degrees=5), "shift": dict(share=(1 / 16, 1 / 16)),
    "patches": dict(size=(0.5, 0.5)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "settings"), WEAKEST.items())
def test_the_weakest_settings_change_every_sample_visibly(name, settings):
    x = pixels((200, 1, 32, 32), torch.uint8)
    change = (call(name, x, **settings).double() - x.double()).abs() / 255
    assert (change > 0.02).flatten(1).double().mean(dim=1).min() > 0.01, "1 % of the pixels by 2 % of the range"


GIVE_REAL_IMAGES = [
    ("mixup", dict(min_share=0.049)), ("mixup", dict(min_share=math.nan)), ("mixup", dict(alpha=0)),
    ("cutmix", dict(min_area=0.015)), ("cutmix", dict(min_area=0.51)), ("cutmix", dict(beta=math.inf)),
    ("cutout", dict(size=(0.12, 0.5))), ("cutout", dict(size=(0.6, 0.5))), ("patches", dict(size=(0.1, 0.6))),
    ("shift", dict(share=(0.06, 0.5))), ("shift", dict(share=(0.5, 0.95))),
    *[("rotate", dict(degrees=each)) for each in (0, -360, 4.9, 355.1, (-10, 10), (30, 356), (90, 60), (30, 400))],
]  # fmt: skip
OF_ANOTHER_TYPE = [
    ("mixup", dict(min_share=[0.1])), ("cutmix", dict(min_area=True)), ("cutout", dict(size=0.5)),
    ("cutout", dict(size=("a", "b"))), ("jigsaw", dict(grid=2.0)), ("jigsaw", dict(grid=(2, True))),
    ("shuffle_frames", dict(chunks=2.0)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "refused"), [(ValueError, GIVE_REAL_IMAGES), (TypeError, OF_ANOTHER_TYPE)])
def test_settings_are_refused(error, refused):
    for name, wrong in refused:
        with pytest.raises(error, match=next(iter(wrong))):
            call(name, torch.rand(2, 3, 4, 32, 32), **wrong)


def test_what_is_no_batch_is_refused():
    for shape in ((3, 8, 8), (2, 3, 0, 8), (0, 3, 8, 8)):
        with pytest.raises(ValueError, match="batch"):
            F.jigsaw(torch.rand(shape))
    with pytest.raises(TypeError, match="dtype"):
        F.jigsaw(torch.zeros(2, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(TypeError, match="Tensor"):
        F.jigsaw([[1.0]])
    with pytest.raises(ValueError, match="generator"):
        F.jigsaw(torch.empty(2, 3, 8, 8, device="meta"), generator=torch.Generator())
    for function in (getattr(F, name) for name in ALL):
        with pytest.raises(ValueError, match="batch"):
            function(torch.rand(8, 8))
        with pytest.raises(TypeError, match="generator"):
            function(torch.rand(2, 3, 4, 8, 8), generator=0)


def test_no_value_is_looked_at_on_the_host():
    # A meta tensor has no values: whatever would wait for a GPU (an `if`, a loop, `.item()`) fails on it.
    x = torch.empty(4, 3, 4, 18, 18, device="meta")
    for name in ALL:
        assert getattr(F, name)(x).is_meta
    assert F.jigsaw(x, 3).is_meta
    for name in PARTNERS:
        assert getattr(F, name)(x, other=torch.empty_like(x)).is_meta


def test_selection_is_bit_exact_in_every_dtype():
    for dtype in DTYPES:
        x = pixels((6, 3, 16, 16), dtype)
        pool = set(x.flatten().tolist())
        for name in ("jigsaw", "stitch", "cutmix", "shift", "patches", "tilemix"):
            assert set(call(name, x).flatten().tolist()) <= pool


def test_large_values_do_not_overflow():
    largest = torch.finfo(torch.float16).max
    x = torch.where(pixels((4, 1, 2, 8, 8), torch.float32) > 0, largest, -largest).to(torch.float16)
    for name in ALL:
        assert math.isfinite(call(name, x).float().abs().max()), name
