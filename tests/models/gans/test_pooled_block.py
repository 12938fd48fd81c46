"""Convolving and pooling at once, against mmagic's block in float64."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("mmagic")
from mmagic.models.editors.biggan.biggan_modules import BigGANDiscResBlock

from nda_mm.models import PooledBigGANDiscResBlock


def build(cls: type, **settings: object) -> torch.nn.Module:
    torch.manual_seed(0)
    return cls(3, 5, **settings).double().train()


@pytest.mark.parametrize(
    ("head", "downsample", "norm"),
    [
        (False, True, dict(with_spectral_norm=False)),
        (True, True, dict(sn_style="torch")),
        (False, False, dict(sn_style="torch")),
        (False, True, dict(sn_style="ajbrock")),
    ],
)
def test_output_gradients_and_state_are_mmagics(head: bool, downsample: bool, norm: dict) -> None:
    settings = dict(is_head_block=head, with_downsample=downsample, **norm)
    host, ours = build(BigGANDiscResBlock, **settings), build(PooledBigGANDiscResBlock, **settings)
    ours.load_state_dict(copy.deepcopy(host.state_dict()))
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outcomes = []
    for block in (host, ours):
        image = x.clone().requires_grad_()
        out = block(image)
        out.sin().sum().backward()
        outcomes.append([out, image.grad, *(parameter.grad for parameter in block.parameters())])
    for found, expected in zip(*reversed(outcomes), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for name, value in host.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name])
