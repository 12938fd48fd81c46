from __future__ import annotations

import math

import pytest
import torch

from nda_mm.evaluation.image_features import describe_images, shrink_images

# Where the groups stand for 32x32 RGB.
COLOURS, HISTOGRAMS, PROFILES, SHARPNESS = slice(0, 192), slice(192, 320), slice(320, 382), slice(382, 446)


def ramp(angle: float, side: int = 32) -> torch.Tensor:
    """Brightness that rises in one direction."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    plane = (x * math.cos(angle) + y * math.sin(angle)) / (2 * side)
    return plane.expand(1, 3, side, side)


@pytest.mark.parametrize("eighth", range(8))
def test_direction_of_a_slope_is_one_orientation(eighth: int) -> None:
    cells = describe_images(ramp(eighth * math.pi / 4))[0, HISTOGRAMS].reshape(8, 16)
    expected = torch.zeros(8, 16)
    expected[eighth] = 2 * (1 / 16) ** 0.5 / 128**0.5
    torch.testing.assert_close(cells, expected, atol=2e-3, rtol=0)


def test_a_direction_between_two_is_shared() -> None:
    cells = describe_images(ramp(math.pi / 8))[0, HISTOGRAMS].reshape(8, 16)
    torch.testing.assert_close(cells[0], cells[1], rtol=1e-3, atol=1e-5)
    assert cells[2:].abs().max() < 1e-3


def test_seam_stands_out_at_its_place() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[..., 16:] = 1
    profile = describe_images(image)[0, PROFILES]
    assert profile.nonzero().flatten().tolist() == [15]  # the boundary between columns 15 and 16
    assert profile[15].item() == pytest.approx(4 / 62**0.5)


def test_colours_are_means_of_places() -> None:
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    colours = describe_images(image)[0, COLOURS].reshape(3, 8, 8) * 192**0.5
    torch.testing.assert_close(colours[2, 1, 5], image[0, 2, 4:8, 20:24].mean())


def test_flat_places_are_told_from_calm_ones() -> None:
    image = 0.02 * torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    image[..., 8:16, 8:16] = 0
    sharpness = describe_images(image)[0, SHARPNESS].reshape(8, 8)
    flat = sharpness[2, 2]  # 8 to 12 px, wholly inside
    assert flat.item() == pytest.approx(0.3 * math.log(1 / 127.5) / 8, rel=1e-4)
    assert (sharpness > flat).sum() >= 60


def test_sizes_and_what_is_refused() -> None:
    assert describe_images(torch.zeros(2, 1, 8, 20)).shape[0] == 2
    assert describe_images(torch.zeros(1, 3, 200, 100)).isfinite().all()
    assert shrink_images(torch.zeros(1, 3, 200, 100), 64).shape == (1, 3, 64, 32)
    constant = torch.full((1, 3, 90, 90), 0.3)
    torch.testing.assert_close(shrink_images(constant, 32), torch.full((1, 3, 32, 32), 0.3))
    with pytest.raises(ValueError, match=r"sides of at least 8.*\(1, 3, 7, 8\)"):
        describe_images(torch.zeros(1, 3, 7, 8))
