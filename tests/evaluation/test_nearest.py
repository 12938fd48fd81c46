from __future__ import annotations

import pytest
import torch

from nda_mm.evaluation import nearest
from nda_mm.evaluation.nearest import nearest_neighbours


@pytest.mark.parametrize("chunk", [1, 100, 1 << 24])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_against_all_pairs_in_double_precision(monkeypatch, chunk: int, exclude_self: bool) -> None:
    monkeypatch.setattr(nearest, "_CHUNK_ELEMENTS", chunk)
    points = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)) + 100
    exclude = torch.arange(40) if exclude_self else None
    distances, indices = nearest_neighbours(points, points, exclude)
    pairs = (points.double()[:, None] - points.double()[None]).norm(dim=2)
    if exclude_self:
        pairs.fill_diagonal_(torch.inf)
    expected = pairs.min(dim=1)
    assert torch.equal(indices, expected.indices)
    torch.testing.assert_close(distances.double(), expected.values, rtol=1e-5, atol=1e-5)


def test_small_distances_do_not_drown() -> None:
    far = torch.randn(50, 3000, generator=torch.Generator().manual_seed(0))
    distances, indices = nearest_neighbours(far + 1e-4, far)
    torch.testing.assert_close(distances, torch.full((50,), 1e-4 * 3000**0.5), rtol=1e-2, atol=0)
    assert indices.tolist() == list(range(50))


def test_nothing_to_find_and_wrong_shapes() -> None:
    distances, indices = nearest_neighbours(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]))
    assert (distances.item(), indices.item()) == (torch.inf, -1)
    assert nearest_neighbours(torch.zeros(2, 2), torch.zeros(0, 2))[1].tolist() == [-1, -1]
    with pytest.raises(ValueError, match=r"queries \(Q, D\)"):
        nearest_neighbours(torch.zeros(1, 2), torch.zeros(1, 3))
