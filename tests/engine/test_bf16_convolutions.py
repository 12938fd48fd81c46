"""Weights' gradients of convolutions in bfloat16 against those in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nda_mm.engine.bf16_convolutions import WideSmallConvolutions

CASES = [
    (nn.Conv3d, 3, (2, 4, 4), 1),
    (nn.Conv3d, (3, 1, 1), (2, 9, 9), 1),
    (nn.Conv3d, (5, 3, 3), (4, 4, 4), 2),
    (nn.Conv3d, (3, 7, 7), (4, 2, 2), 1),
    (nn.Conv3d, 3, (3, 4, 4), 2),
    (nn.Conv3d, 3, (1, 4, 4), 1),
    (nn.Conv2d, 3, (1, 1), 2),
    (nn.Conv2d, 7, (2, 2), 1),
    (nn.Conv2d, 3, (4, 4), 1),
]


@pytest.mark.parametrize(("kind", "kernel", "size", "stride"), CASES)
def test_gradients_are_right_to_bfloat16s_precision(kind, kernel, size, stride):
    torch.manual_seed(0)
    padding = kernel // 2 if isinstance(kernel, int) else tuple(side // 2 for side in kernel)
    layer, x = kind(16, 16, kernel, stride=stride, padding=padding, bias=False), torch.randn(8, 16, *size)
    exact = torch.autograd.grad(layer(x).square().sum(), layer.weight)[0]
    for _ in range(5):  # without the mode it is garbage that differs from one time to the next
        torch.randn(100_000).mul_(1e3)
        with torch.autocast("cpu", dtype=torch.bfloat16), WideSmallConvolutions():
            y = layer(x)
        found = torch.autograd.grad(y.float().square().sum(), layer.weight)[0]
        assert (found - exact).abs().max() < 0.02 * exact.abs().max()


def test_nothing_changes_without_autocast_or_where_kernels_fit():
    layer, x = nn.Conv3d(2, 3, 3, padding=1), torch.randn(1, 2, 2, 4, 4)
    plain = layer(x)
    with WideSmallConvolutions():
        assert torch.equal(layer(x), plain)
    fits = torch.randn(1, 2, 4, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = layer(fits)
        with WideSmallConvolutions():
            assert torch.equal(layer(fits), expected)
    assert expected.dtype == torch.bfloat16
