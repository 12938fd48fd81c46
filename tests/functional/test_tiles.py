"""Jigsaw, stitch, tilemix and patches against loops over pixels that say what they are."""

import itertools

import pytest
import torch
from scipy import stats
from tiny_pixels import assert_equally_likely, by_loop, channels_last, numbered, seeded

from nda_mm import functional as F
from nda_mm.functional.layout import apply_boxes
from nda_mm.functional.tiles import apply_patches, apply_tiles, check_patch_sides, half_boxes


def slow_tiles(x, permutation, grid, source=None):
    rows, columns = grid
    height, width = x.shape[-2] // rows, x.shape[-1] // columns

    def place(sample, i, j):
        number = i // height * columns + j // width
        tile = permutation[sample, number]
        other = sample if source is None else source[sample, number]
        return other, tile // columns * height + i % height, tile % columns * width + j % width

    return by_loop(x, place)


@pytest.mark.parametrize(("shape", "grid"), [
    ((5, 1, 3, 9), (3, 3)), ((5, 3, 6, 4), (3, 2)), ((5, 2, 3, 4, 8), (2, 4)), ((5, 2, 5, 7), (1, 7)),
])  # fmt: skip
def test_tiles_of_any_grid_match_the_loop(shape, grid):
    x, tiles = numbered(*shape), grid[0] * grid[1]
    permutation = torch.stack([torch.randperm(tiles, generator=seeded(sample)) for sample in range(5)])
    source = torch.randint(5, (5, tiles), generator=seeded())
    for of in (None, source):  # tiles of the same sample, and of others
        assert torch.equal(apply_tiles(x, permutation, grid, of), slow_tiles(x, permutation, grid, of))


def test_jigsaw_gives_the_23_other_layouts_equally_often():
    x = numbered(1, 1, 2, 2).expand(23 * 300, 1, 2, 2)
    layouts = map(tuple, F.jigsaw(x, generator=seeded()).flatten(1).int().tolist())
    assert_equally_likely(layouts, list(itertools.permutations(range(4)))[1:])


def test_grids_that_do_not_fit_are_refused():
    for grid, name in ((3, "height 32"), ((4, 4), "width 30"), (1, "grid"), ((0, 4), "grid")):
        with pytest.raises(ValueError, match=name):
            F.jigsaw(torch.rand(2, 3, 32, 30), grid)


@pytest.mark.parametrize("shape", [(8, 2, 5, 7), (8, 2, 3, 5, 4)])
def test_halves_match_the_loop(shape):
    x, height, width = numbered(*shape), shape[-2] // 2, shape[-1] // 2
    case, partner = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0]), torch.tensor([3, 0, 1, 2, 7, 4, 5, 6])

    def source(sample, i, j):  # the second half is larger at an odd size
        of_partner = [i < height, i >= height, j < width, j >= width][case[sample]]
        return partner[sample] if of_partner else sample, i, j

    for batch in (x, channels_last(x)):
        assert torch.equal(apply_boxes(batch, half_boxes(case, *shape[-2:]), batch[partner]), by_loop(x, source))


def test_stitch_joins_two_different_samples_in_four_equally_likely_ways():
    batch = 4000
    x = torch.arange(batch, dtype=torch.float64).view(batch, 1, 1, 1).expand(batch, 1, 2, 2)
    out = F.stitch(x, generator=seeded()).flatten(1)
    own = out == torch.arange(batch)[:, None]
    layouts = map(tuple, own.int().tolist())
    assert_equally_likely(layouts, [(0, 0, 1, 1), (1, 1, 0, 0), (0, 1, 0, 1), (1, 0, 1, 0)])
    foreign = out[~own].view(batch, 2)
    assert torch.equal(foreign[:, 0], foreign[:, 1])
    assert torch.equal(foreign[:, 0].sort().values, torch.arange(batch).double()), "each sample serves once"


def tile_sources(batch, grid=2, seed=0):
    """The sample that each tile of each sample came from, read off the pixels."""
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    x = torch.arange(batch, dtype=torch.float64).view(-1, 1, 1, 1).expand(batch, 1, rows, columns)
    return F.tilemix(x, grid, generator=seeded(seed)).flatten(1).long()


@pytest.mark.parametrize("grid", [2, (1, 2)])
def test_no_tile_is_its_own_and_not_all_are_of_one_image(grid):
    for seed in range(200):
        found = tile_sources(3, grid, seed)
        assert not (found == torch.arange(3)[:, None]).any()
        assert not (found == found[:, :1]).all(dim=1).any()


def test_every_other_image_is_equally_likely_at_every_place():
    few = torch.cat([(tile_sources(5, seed=seed) - torch.arange(5)[:, None]) % 5 for seed in range(500)])
    for place in range(4):
        assert_equally_likely(few[:, place].tolist(), range(1, 5), 1e-4)


@pytest.mark.parametrize("shape", [(3, 2, 7, 9), (2, 2, 3, 6, 8)])
def test_patches_land_where_the_loop_puts_them(shape: tuple[int, ...]) -> None:
    x, (height, width), generator = numbered(*shape), shape[-2:], seeded()
    side = torch.randint(2, 4, (shape[0],), generator=generator)
    top, left = (torch.randint(0, size - 2, (shape[0], 5, 5), generator=generator) for size in (height, width))

    def source(sample: int, i: int, j: int) -> tuple:
        patch, length = (sample, i // int(side[sample]), j // int(side[sample])), int(side[sample])
        return sample, top[patch] + i % length, left[patch] + j % length

    assert torch.equal(apply_patches(x, side, top, left), by_loop(x, source))


def test_sides_and_places_of_patches_are_uniform() -> None:
    """Rows and columns are read off an image whose pixels are numbered."""
    count, size = 4000, 16
    x = numbered(1, 1, size, size).expand(count, 1, size, size)
    made = F.patches(x, (2 / size, 6 / size), generator=seeded())[:, 0]
    steps = made[:, 0, 1:] - made[:, 0, :-1]
    sides = [next((place + 1 for place, step in enumerate(row) if step != 1), size) for row in steps.tolist()]
    counts = [sides.count(side) for side in range(2, 7)]
    assert sum(counts) > 0.95 * count  # neighbors that happen to fit look like one
    assert stats.chisquare(counts, [sum(counts) / 5] * 5).pvalue > 1e-4
    of_four = torch.tensor(sides) == 4
    second = made[of_four, 0, 4].long()
    for place in (second // size, second % size):
        assert_equally_likely(place.tolist(), range(13), 1e-4)


def test_no_image_is_rebuilt_of_its_patches() -> None:
    """On 4x4 pixels four patches of 2x2 would do it once in 6,561 draws."""
    x = numbered(1, 1, 4, 4).expand(60_000, 1, 4, 4)
    made = F.patches(x, (0.5, 0.5), generator=seeded())
    assert not (made == x).flatten(1).all(dim=1).any()
    assert_equally_likely(made[:, 0, 0, 0].long().tolist(), [1, 2, 4, 5, 6, 8, 9, 10], 1e-4)


def test_sides_of_patches_follow_the_image() -> None:
    assert check_patch_sides((16 / 224, 72 / 224), 224, 300) == (16, 72)
    assert check_patch_sides((16 / 224, 72 / 224), 32, 32) == (2, 10)
    assert check_patch_sides((1 / 64, 1 / 64), 32, 32) == (2, 2)
