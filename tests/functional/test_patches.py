"""Patches against a loop over pixels, where they come from, and that no image is rebuilt."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from nda_mm import functional as F
from nda_mm.functional.patches import apply_patches, check_patch_sides


def numbered(*shape: int) -> torch.Tensor:
    """Every pixel with a value of its own."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)


@pytest.mark.parametrize("shape", [(3, 2, 7, 9), (3, 1, 4, 4), (2, 2, 3, 6, 8)])
def test_patches_land_where_the_loop_puts_them(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    x, (height, width) = numbered(*shape), shape[-2:]
    side = torch.randint(2, 4, (shape[0],), generator=generator)
    top, left = (torch.randint(0, size - 2, (shape[0], 5, 5), generator=generator) for size in (height, width))
    expected = torch.zeros_like(x)
    for sample in range(shape[0]):
        length = int(side[sample])
        for i in range(height):
            for j in range(width):
                patch = (sample, i // length, j // length)
                source = (int(top[patch]) + i % length, int(left[patch]) + j % length)
                expected[sample, ..., i, j] = x[(sample, ..., *source)]
    assert torch.equal(apply_patches(x, side, top, left), expected)
    last = torch.channels_last if x.ndim == 4 else torch.channels_last_3d
    assert torch.equal(apply_patches(x.contiguous(memory_format=last), side, top, left), expected)


def test_sides_and_places_are_uniform() -> None:
    """Rows and columns are read off an image whose pixels are numbered."""
    count, size = 4000, 16
    x = numbered(1, 1, size, size).expand(count, 1, size, size)
    made = F.patches(x, (2 / size, 6 / size), generator=torch.Generator().manual_seed(0))[:, 0]
    steps = made[:, 0, 1:] - made[:, 0, :-1]
    sides = [next((place + 1 for place, step in enumerate(row) if step != 1), size) for row in steps.tolist()]
    counts = [sides.count(side) for side in range(2, 7)]
    assert sum(counts) > 0.95 * count  # neighbors that happen to fit look like one
    assert stats.chisquare(counts, [sum(counts) / 5] * 5).pvalue > 1e-4
    of_four = torch.tensor(sides) == 4
    second = made[of_four, 0, 4].long()
    assert set(second.tolist()) <= {row * size + column for row in range(13) for column in range(13)}
    assert stats.chisquare(torch.bincount(second // size, minlength=13).numpy()).pvalue > 1e-4


def test_no_image_is_rebuilt() -> None:
    """On 4x4 pixels four patches of 2x2 would do it once in 6,561 draws."""
    x = numbered(1, 1, 4, 4).expand(60_000, 1, 4, 4)
    made = F.patches(x, (0.5, 0.5), generator=torch.Generator().manual_seed(0))
    assert not (made == x).flatten(1).all(dim=1).any()
    first = made[:, 0, 0, 0].long()
    counts = torch.bincount(first, minlength=11)
    assert sorted(first.unique().tolist()) == [1, 2, 4, 5, 6, 8, 9, 10]
    assert stats.chisquare(counts[counts > 0].numpy()).pvalue > 1e-4


def test_sides_follow_the_image() -> None:
    assert check_patch_sides((16 / 224, 72 / 224), 224, 300) == (16, 72)
    assert check_patch_sides((16 / 224, 72 / 224), 32, 32) == (2, 10)
    assert check_patch_sides((1 / 64, 1 / 64), 32, 32) == (2, 2)


def test_images_that_are_too_small_and_sizes_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="4 x 4"):
        F.patches(torch.rand(2, 3, 3, 9))
    with pytest.raises(ValueError, match="size"):
        F.patches(torch.rand(2, 3, 8, 8), (0.1, 0.6))
    with pytest.raises(TypeError, match="size"):
        F.patches(torch.rand(2, 3, 8, 8), 0.1)  # type: ignore[arg-type]
