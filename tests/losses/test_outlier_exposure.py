"""Outlier exposure against torch's cross-entropy with soft targets."""

from __future__ import annotations

import pytest
import torch

from nda_mm.losses import outlier_exposure


def test_it_is_the_cross_entropy_to_the_uniform_distribution() -> None:
    logits = torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = torch.nn.functional.cross_entropy(logits, torch.full((7, 5), 0.2, dtype=torch.float64))
    found = outlier_exposure(logits)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(each, logits)[0] for each in (found, expected)))


def test_half_precision_is_computed_in_float32() -> None:
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).mul(100).half()
    found = outlier_exposure(logits)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, outlier_exposure(logits.float()))


@pytest.mark.parametrize("shape", [(3,), (0, 4)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="logits"):
        outlier_exposure(torch.zeros(shape))
