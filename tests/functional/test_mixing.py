"""Mixup, cutmix and cutout against loops, and the bounds that keep their results negative."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from tiny_pixels import assert_equally_likely, by_loop, seeded

from nda_mm import functional as F
from nda_mm.functional.layout import Boxes, apply_boxes
from nda_mm.functional.mixing import apply_blend, apply_cutout, check_box_sides, check_sides, cut_boxes


def test_blend_matches_the_formula_in_numpy():
    x = torch.randn(4, 2, 3, 4, 5, dtype=torch.float64)
    share, partners = torch.tensor([0.1, 0.35, 0.5, 0.9], dtype=torch.float64), torch.tensor([2, 3, 1, 0])
    own = share.numpy().reshape(-1, 1, 1, 1, 1)
    expected = own * x.numpy() + (1 - own) * x.numpy()[partners.numpy()]
    np.testing.assert_allclose(apply_blend(x, share, x[partners]).numpy(), expected, rtol=1e-12)


def test_blend_of_uint8_is_rounded_to_nearest():
    x = torch.tensor([0, 255, 10, 13], dtype=torch.uint8).view(4, 1, 1, 1)
    out = apply_blend(x, torch.tensor([0.3, 0.5001, 0.4, 0.75]), x[[1, 0, 3, 2]])
    assert out.flatten().tolist() == [178, 128, 12, 12]  # 178.5-, 127.5+, 11.8, 12.25


def test_mixup_blends_two_different_samples_by_beta_shares():
    batch = 4000
    x = torch.eye(batch, dtype=torch.float64).view(batch, 1, 1, batch)  # sample i is 1 at place i
    out = F.mixup(x, generator=seeded()).view(batch, batch)
    assert torch.equal((out > 0).sum(dim=1), torch.full((batch,), 2)), "each result shows two samples"
    own = out.diagonal()
    assert torch.allclose(out.sum(dim=1), torch.ones(batch, dtype=torch.float64))
    assert stats.kstest(own.numpy(), stats.beta(25, 25).cdf).pvalue > 0.01


@pytest.mark.parametrize(("shape", "dtype"), [((3, 3, 5, 4), torch.uint8), ((3, 2, 3, 4, 5), torch.float32)])
def test_boxes_match_the_loop(shape, dtype):
    x = (torch.rand(shape) * 255).to(dtype)
    boxes = Boxes(*torch.tensor([[0, 1, 2], [2, 4, 3], [1, 0, 3], [2, 4, 4]]))
    partners = torch.tensor([2, 0, 1])

    def source(sample, i, j):
        inside = boxes.top[sample] <= i < boxes.bottom[sample] and boxes.left[sample] <= j < boxes.right[sample]
        return partners[sample] if inside else sample, i, j

    assert torch.equal(apply_boxes(x, boxes, x[partners]), by_loop(x, source))


def slow_side(area, center, size, least, most):
    """One side of the box as the docstring of cutmix tells it."""
    length = min(max(round(float(np.sqrt(np.float32(area)) * np.float32(size))), least), most)
    inside = [place for place in range(center - length // 2, center - length // 2 + length) if 0 <= place < size]
    begin, end = inside[0], inside[-1] + 1
    while end - begin < least:  # extended inwards
        if begin > 0 and end == size:
            begin -= 1
        else:
            end += 1
    return begin, end


@given(
    height=st.integers(2, 40),
    width=st.integers(2, 40),
    min_area=st.floats(1 / 64, 0.25),
    area=st.floats(0, 1, width=32),
    data=st.data(),
)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_boxes_lie_inside_and_leave_both_images_their_share(height, width, min_area, area, data):
    try:
        sides = check_box_sides(min_area, height, width)
    except ValueError:
        return
    row, column = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    boxes = cut_boxes(torch.tensor([area]), torch.tensor([row]), torch.tensor([column]), height, width, min_area)
    top, bottom, left, right = (int(edge) for edge in boxes)
    assert 0 <= top < bottom <= height
    assert 0 <= left < right <= width
    share = int(boxes.area()) / (height * width)
    assert min_area - 1e-8 <= share <= 1 - min_area + 1e-8
    assert (top, bottom) == slow_side(area, row, height, *sides[0])
    assert (left, right) == slow_side(area, column, width, *sides[1])


def test_cutmix_draws_boxes_of_all_sizes_everywhere_from_other_samples():
    batch, size = 3000, 16
    x = torch.arange(batch, dtype=torch.float64).view(batch, 1, 1, 1).expand(batch, 1, size, size)
    out = F.cutmix(x, generator=seeded())
    foreign = out != x
    share = foreign.double().mean(dim=(1, 2, 3))
    assert 0.1 <= share.min() < 0.16
    assert 0.8 < share.max() <= 0.9
    assert 0.3 < share.median() < 0.5
    for sample in range(0, batch, 100):
        assert len(out[sample].unique()) == 2
        rows, columns = foreign[sample, 0].any(dim=1), foreign[sample, 0].any(dim=0)
        assert torch.equal(foreign[sample, 0], rows[:, None] & columns[None, :]), "the changed part is a box"
    reach = foreign.double().mean(dim=(0, 1))
    assert reach.min() > 0.1, "every pixel is reached, the corners too"


def slow_cutout(x, boxes):
    out = x.clone()
    planes = out.flatten(1, -3)
    for sample in range(len(x)):
        top, bottom, left, right = (int(edge[sample]) for edge in boxes)
        for plane in planes[sample]:
            values = [float(plane[i, j]) for i in range(top, bottom) for j in range(left, right)]
            mean = sum(values) / len(values)
            plane[top:bottom, left:right] = round(mean) if x.dtype == torch.uint8 else mean
    return planes.view(x.shape)


@pytest.mark.parametrize(("shape", "dtype"), [((3, 3, 6, 5), torch.uint8), ((3, 2, 3, 5, 6), torch.float64)])
def test_cutout_matches_the_loop(shape, dtype):
    x = (torch.rand(shape, dtype=torch.float64) * 255).to(dtype)
    boxes = Boxes(*torch.tensor([[0, 1, 2], [3, 5, 4], [1, 0, 2], [4, 4, 4]]))
    out = apply_cutout(x, boxes)
    assert torch.allclose(out.double(), slow_cutout(x, boxes).double(), rtol=0, atol=1e-12)


def test_sums_are_exact_where_half_precision_would_overflow():
    x = torch.full((1, 1, 64, 64), 1000.0, dtype=torch.float16)
    assert torch.equal(F.cutout(x, (1.0, 1.0)), x)
    x = torch.full((1, 1, 300, 300), 255, dtype=torch.uint8)
    assert torch.equal(F.cutout(x, (1.0, 1.0)), x)


def test_squares_have_the_authors_sides_and_reach_every_edge():
    x = torch.rand(6000, 1, 32, 32, dtype=torch.float64)  # in float32 some pixels would have the mean color
    changed = (F.cutout(x, generator=seeded()) != x)[:, 0]
    rows, columns = changed.any(dim=2), changed.any(dim=1)
    side = rows.sum(dim=1)
    assert torch.equal(side, columns.sum(dim=1))
    assert torch.equal(side**2, changed.sum(dim=(1, 2)))
    assert_equally_likely(side.tolist(), range(10, 20))
    for taken in (rows, columns):  # of one side, every place is equally likely, from the first to the last
        assert_equally_likely(taken[side == 10].int().argmax(dim=1).tolist(), range(23))


@pytest.mark.parametrize(("size", "height", "width", "sides"), [
    ((0.3125, 0.625), 32, 64, (10, 19)), ((0.5, 0.5), 10, 12, (5, 5)), ((1.0, 1.0), 7, 9, (7, 7)),
    ((0.125, 0.15), 32, 32, (4, 4)), ((0.125, 0.15), 8, 8, (2, 2)), ((0.3125, 0.625), 2, 2, (2, 2)),
])  # fmt: skip
def test_sides_are_shares_of_the_short_side(size, height, width, sides):
    assert check_sides(size, height, width) == sides == check_sides(size, width, height)
