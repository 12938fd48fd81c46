"""Jigsaw and stitch against loops over pixels that say what they are."""

import itertools
import math
from collections import Counter

import pytest
import torch
from scipy import stats

from nda_mm import functional as F
from nda_mm.functional import tiles
from nda_mm.functional.tiles import apply_halves, apply_tiles, half_boxes


def numbered(*shape):
    """Every pixel with a value of its own."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)


def slow_tiles(x, permutation, grid):
    rows, columns = grid
    height, width = x.shape[-2] // rows, x.shape[-1] // columns
    out = x.clone()
    for sample in range(x.shape[0]):
        for place in range(rows * columns):
            tile = int(permutation[sample, place])
            for i in range(height):
                for j in range(width):
                    to = (place // columns * height + i, place % columns * width + j)
                    source = (tile // columns * height + i, tile % columns * width + j)
                    out[(sample, ..., *to)] = x[(sample, ..., *source)]
    return out


def slow_halves(x, case, partner_of):
    out = x.clone()
    height, width = x.shape[-2:]
    for sample in range(x.shape[0]):
        for i in range(height):
            for j in range(width):
                foreign = [i < height // 2, i >= height // 2, j < width // 2, j >= width // 2][int(case[sample])]
                if foreign:
                    out[sample, ..., i, j] = partner_of(sample)[..., i, j]
    return out


def test_all_24_permutations_of_2x2_land_where_the_loop_puts_them():
    permutations = torch.tensor(list(itertools.permutations(range(4))))
    x = numbered(24, 2, 4, 6)
    out = apply_tiles(x, permutations, (2, 2))
    assert torch.equal(out, slow_tiles(x, permutations, (2, 2)))
    unchanged = (out == x).flatten(1).all(dim=1).tolist()
    assert unchanged == [True] + [False] * 23


@pytest.mark.parametrize(("permutation", "quarters"), [
    ([0, 1, 2, 3], [[0, 1], [2, 3]]), ([1, 0, 3, 2], [[1, 0], [3, 2]]),
    ([2, 3, 0, 1], [[2, 3], [0, 1]]), ([3, 2, 1, 0], [[3, 2], [1, 0]]),
])  # fmt: skip
def test_csis_four_permutations(permutation, quarters):
    """The quarters of CSI's CutPerm (alinlab/CSI@60742b6, models/transform_layers.py) for ``aug_index`` 0 to 3."""
    x = numbered(1, 3, 8, 12)
    tops = [torch.cat([x[..., q // 2 * 4 :, q % 2 * 6 :][..., :4, :6] for q in row], dim=-1) for row in quarters]
    assert torch.equal(apply_tiles(x, torch.tensor([permutation]), (2, 2)), torch.cat(tops, dim=-2))


@pytest.mark.parametrize(("shape", "grid"), [
    ((5, 1, 3, 9), (3, 3)), ((5, 3, 6, 4), (3, 2)), ((5, 2, 3, 4, 8), (2, 4)), ((5, 2, 5, 7), (1, 7)),
    ((5, 2, 5, 7), (5, 1)),
])  # fmt: skip
def test_tiles_of_any_grid_match_the_loop(shape, grid):
    generator = torch.Generator().manual_seed(0)
    x = numbered(*shape)
    permutation = torch.stack([torch.randperm(grid[0] * grid[1], generator=generator) for _ in range(shape[0])])
    assert torch.equal(apply_tiles(x, permutation, grid), slow_tiles(x, permutation, grid))


def test_jigsaw_gives_the_23_other_layouts_equally_often():
    x = numbered(1, 1, 2, 2).expand(23 * 300, 1, 2, 2)
    layouts = Counter(map(tuple, F.jigsaw(x, generator=torch.Generator().manual_seed(0)).flatten(1).int().tolist()))
    assert set(layouts) == set(itertools.permutations(range(4))) - {(0, 1, 2, 3)}
    assert stats.chisquare(list(layouts.values())).pvalue > 0.01


def test_the_transposed_layout_occurs_and_the_identity_does_not():
    # The bug of other implementations: assembling column by column while rejecting row by row swaps these two.
    out = F.jigsaw(numbered(1, 1, 2, 2).expand(2000, 1, 2, 2)).flatten(1).tolist()
    assert [0, 2, 1, 3] in out
    assert [0, 1, 2, 3] not in out


def test_3x3_jigsaw_never_returns_the_input_and_keeps_every_pixel():
    x = numbered(1, 1, 6, 9).expand(3000, 1, 6, 9)
    out = F.jigsaw(x, 3, generator=torch.Generator().manual_seed(0))
    assert not (out == x).flatten(1).all(dim=1).any()
    assert torch.equal(out.flatten(1).sort(dim=1).values, x.flatten(1))
    corner = out[:, 0, 0, 0].unique(return_counts=True)[1]
    assert len(corner) == 9
    assert stats.chisquare(corner.numpy()).pvalue > 0.01


def test_a_grid_that_does_not_divide_is_refused_with_those_that_would():
    with pytest.raises(ValueError, match=r"grid of 3 x 3 .* 32 x 30: height 32 can be cut into \[1, 2, 4, 8, 16, 32\]"):
        F.jigsaw(torch.rand(2, 3, 32, 30), 3)
    with pytest.raises(ValueError, match=r"width 30 can be cut into \[1, 2, 3, 5, 6, 10, 15, 30\]"):
        F.jigsaw(torch.rand(2, 3, 32, 30), (4, 4))


@pytest.mark.parametrize("grid", [1, (1, 1), 0, -2, (0, 4)])
def test_fewer_than_two_tiles_are_refused(grid):
    with pytest.raises(ValueError, match="at least 2 tiles"):
        F.jigsaw(torch.rand(2, 3, 8, 8), grid)


@pytest.mark.parametrize("grid", [2.0, "2", (2,), (2, 2, 2), (2, True), None])
def test_a_grid_of_another_kind_is_refused(grid):
    with pytest.raises(TypeError, match="int or a pair"):
        F.jigsaw(torch.rand(2, 3, 8, 8), grid)


@pytest.mark.parametrize(
    "shape", [(8, 3, 4, 6), (8, 2, 5, 6), (8, 2, 4, 7), (8, 1, 3, 5), (8, 2, 3, 5, 4), (8, 1, 2, 2)]
)
@pytest.mark.parametrize("foreign", [False, True])
def test_halves_match_the_loop(shape, foreign):
    x = numbered(*shape)
    case = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    partners = torch.tensor([3, 0, 1, 2, 7, 4, 5, 6])
    other = -1 - x if foreign else None
    expected = slow_halves(x, case, lambda sample: other[sample] if foreign else x[partners[sample]])
    assert torch.equal(apply_halves(x, case, None if foreign else partners, other), expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(("clip", "channels_last"), [(False, False), (False, True), (True, True)])
@pytest.mark.parametrize("step", [-2, -1, 0, 1])
def test_gathered_halves_match_the_loop(monkeypatch, dtype, clip, channels_last, step):
    """From 128 bytes a half row upwards: 32 columns of float32. Odd widths and narrower ones are blended."""
    channels = 3
    values_a_pixel = channels if channels_last else 1
    width = 2 * math.ceil(128 / (values_a_pixel * dtype.itemsize)) + step
    shape = (4, channels, *([2] if clip else []), 3, width)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(255).to(dtype)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d if clip else torch.channels_last)
    case, partners = torch.tensor([2, 0, 3, 1]), torch.tensor([1, 2, 3, 0])
    if step == 0:
        monkeypatch.delattr(tiles, "apply_boxes")
    out = apply_halves(x, case, partners)
    assert torch.equal(out, slow_halves(x, case, lambda sample: x[partners[sample]]))
    assert out.stride() == x.stride()


def test_gradients_flow_through_gathered_halves():
    x, weight = torch.rand(2, 4, 1, 2, 32, dtype=torch.float64)
    x.requires_grad_()
    case, partners = torch.arange(4), torch.tensor([1, 2, 3, 0])
    expected = (slow_halves(x, case, lambda sample: x[partners[sample]]) * weight).sum()
    torch.testing.assert_close(
        torch.autograd.grad((apply_halves(x, case, partners) * weight).sum(), x), torch.autograd.grad(expected, x)
    )


def test_the_second_half_takes_the_odd_row_and_column():
    boxes = half_boxes(torch.arange(4), 5, 7)
    assert [tuple(int(edge[case]) for edge in boxes) for case in range(4)] == [
        (0, 2, 0, 7), (2, 5, 0, 7), (0, 5, 0, 3), (0, 5, 3, 7),
    ]  # fmt: skip


def test_stitch_joins_two_different_samples_in_four_equally_likely_ways():
    batch = 4000
    x = torch.arange(batch, dtype=torch.float64).view(batch, 1, 1, 1).expand(batch, 1, 2, 2)
    out = F.stitch(x, generator=torch.Generator().manual_seed(0)).flatten(1)
    own = out == torch.arange(batch)[:, None]
    layouts = Counter(map(tuple, own.int().tolist()))
    assert set(layouts) == {(0, 0, 1, 1), (1, 1, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0)}
    assert stats.chisquare(list(layouts.values())).pvalue > 0.01
    foreign = out[~own].view(batch, 2)
    assert torch.equal(foreign[:, 0], foreign[:, 1])
    assert torch.equal(foreign[:, 0].sort().values, torch.arange(batch).double()), "each sample serves once"


def test_apply_without_any_partner_is_refused():
    with pytest.raises(ValueError, match="partners"):
        apply_halves(torch.rand(2, 1, 2, 2), torch.zeros(2))


def test_stitch_refuses_images_without_halves():
    with pytest.raises(ValueError, match="at least 2 x 2 pixels, but got 1 x 8"):
        F.stitch(torch.rand(2, 3, 1, 8))
