"""Jigsaw, stitch and tilemix against loops over pixels that say what they are."""

import itertools
from collections import Counter

import pytest
import torch
from scipy import stats

from nda_mm import functional as F
from nda_mm.functional.boxes import apply_boxes
from nda_mm.functional.tiles import apply_tiles, half_boxes


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


def slow_halves(x, case, partner):
    out = x.clone()
    height, width = x.shape[-2:]
    for sample in range(x.shape[0]):
        for i in range(height):
            for j in range(width):
                foreign = [i < height // 2, i >= height // 2, j < width // 2, j >= width // 2][int(case[sample])]
                if foreign:
                    out[sample, ..., i, j] = partner[sample, ..., i, j]
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


def test_grids_that_do_not_fit_are_refused():
    for grid, name in ((3, "height 32"), ((4, 4), "width 30")):
        with pytest.raises(ValueError, match=f"does not divide {name}"):
            F.jigsaw(torch.rand(2, 3, 32, 30), grid)
    for grid in (1, (1, 1), 0, -2, (0, 4)):
        with pytest.raises(ValueError, match="at least 2 tiles"):
            F.jigsaw(torch.rand(2, 3, 8, 8), grid)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(8, 3, 4, 6), (8, 2, 5, 7), (8, 2, 3, 5, 4), (8, 1, 2, 2)])
def test_halves_match_the_loop(shape, channels_last):
    x = numbered(*shape)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
    case, partner = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0]), x[torch.tensor([3, 0, 1, 2, 7, 4, 5, 6])]
    out = apply_boxes(x, half_boxes(case, *shape[-2:]), partner)
    assert torch.equal(out, slow_halves(x, case, partner))
    assert out.stride() == x.stride()


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


@pytest.mark.parametrize("shape", [(4, 2, 6, 8), (3, 1, 2, 4, 4)])
def test_tiles_of_other_samples_match_the_loop(shape):
    generator = torch.Generator().manual_seed(0)
    x, (height, width) = numbered(*shape), shape[-2:]
    source = torch.randint(shape[0], (shape[0], 4), generator=generator)
    expected = x.clone()
    for sample in range(shape[0]):
        for i in range(height):
            for j in range(width):
                tile = i // (height // 2) * 2 + j // (width // 2)
                expected[sample, ..., i, j] = x[int(source[sample, tile]), ..., i, j]
    in_place = torch.arange(4).expand(shape[0], 4)
    assert torch.equal(apply_tiles(x, in_place, (2, 2), source), expected)


class TestTileMix:
    def sources(self, batch, grid=2, seed=0):
        """The sample that each tile of each sample came from, read off the pixels."""
        rows, columns = (grid, grid) if isinstance(grid, int) else grid
        x = torch.arange(batch, dtype=torch.float64).view(-1, 1, 1, 1).expand(batch, 1, rows, columns)
        return F.tilemix(x, grid, generator=torch.Generator().manual_seed(seed)).flatten(1).long()

    @pytest.mark.parametrize("grid", [2, (1, 2), 4])
    def test_no_tile_is_its_own_and_not_all_are_of_one_image(self, grid):
        for seed in range(200):
            found = self.sources(3, grid, seed)
            assert not (found == torch.arange(3)[:, None]).any()
            assert not (found == found[:, :1]).all(dim=1).any()

    def test_every_other_image_is_equally_likely_at_every_place(self):
        distance = (self.sources(5 * 2000) - torch.arange(5 * 2000)[:, None]) % (5 * 2000)
        assert distance.min() >= 1
        few = torch.cat([(self.sources(5, seed=seed) - torch.arange(5)[:, None]) % 5 for seed in range(500)])
        for place in range(4):
            assert stats.chisquare(torch.bincount(few[:, place], minlength=5)[1:].numpy()).pvalue > 1e-4

    def test_two_samples_are_too_few(self):
        with pytest.raises(ValueError, match="two other images"):
            F.tilemix(torch.rand(2, 3, 8, 8))
