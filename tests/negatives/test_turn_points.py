"""Points turned into the gaps of a ring."""

import math

import pytest
import torch

from nda_mm.datasets.toy.toy_gaussians import ring_centers
from nda_mm.negatives import TurnPoints, build_negative


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("degrees", [22.5, 90, 300])
def test_it_is_a_multiplication_by_a_unit_number_to_either_side(degrees):
    x = torch.randn(500, 1, 1, 2, dtype=torch.float64, generator=seeded(1))
    out = TurnPoints(degrees)(x, generator=seeded())
    before, after = torch.view_as_complex(x.reshape(-1, 2)), torch.view_as_complex(out.reshape(-1, 2).contiguous())
    turn = torch.angle(after / before)
    side = math.remainder(math.radians(degrees), 2 * math.pi)
    torch.testing.assert_close(after.abs(), before.abs())
    torch.testing.assert_close(turn.abs(), torch.full_like(turn, abs(side)))
    assert 0.4 < (turn > 0).double().mean() < 0.6
    assert torch.equal(out, TurnPoints(degrees)(x, generator=seeded()))


def test_half_the_spacing_puts_every_mode_into_a_gap():
    centers = torch.from_numpy(ring_centers(8, 1.0)).view(8, 1, 1, 2)
    out = TurnPoints(22.5)(centers, generator=seeded()).view(8, 2)
    nearest = torch.cdist(out, centers.view(8, 2)).min(dim=1).values
    torch.testing.assert_close(nearest, torch.full((8,), 2 * math.sin(math.pi / 16), dtype=torch.float64))


def test_dtype_and_source_are_kept():
    x = torch.ones(3, 1, 1, 2, dtype=torch.float16)
    assert TurnPoints(30)(x).dtype == torch.float16
    assert torch.equal(x, torch.ones_like(x))
    assert repr(build_negative(dict(type="TurnPoints", degrees=30))) == "TurnPoints(degrees=30)"


def test_what_is_no_point_is_refused():
    for degrees in (0, 1e-9, 359, 360):
        with pytest.raises(ValueError, match="degrees"):
            TurnPoints(degrees)
    for x in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 1, 2, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="points"):
            TurnPoints()(x)
