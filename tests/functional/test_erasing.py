"""Cutout against a loop, and where its squares fall."""

import pytest
import torch
from tiny_pixels import assert_equally_likely, seeded

from nda_mm import functional as F
from nda_mm.functional.erasing import apply_cutout, check_sides
from nda_mm.functional.layout import Boxes


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
    x = torch.rand(6000, 1, 32, 32)
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
