"""The 2D3D-ResNet against a plain one written here, layer by layer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

pytest.importorskip("mmaction.models")

from nda_mm.models.video.resnet2d3d import ResNet2d3d
from nda_mm.registry import MODELS


class PlainBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, given: int, width: int, stride: int, flat: bool, last_relu: bool, stats: bool) -> None:
        super().__init__()
        kernel, padding = ((1, 3, 3), (0, 1, 1)) if flat else (3, 1)
        steps = (1, stride, stride) if flat else (stride, stride, stride)
        self.conv1 = nn.Conv3d(given, width, kernel, steps, padding, bias=False)
        self.norm1 = nn.BatchNorm3d(width, track_running_stats=stats)
        self.conv2 = nn.Conv3d(width, width, kernel, 1, padding, bias=False)
        self.norm2 = nn.BatchNorm3d(width, track_running_stats=stats)
        self.shortcut = (
            nn.Sequential(
                nn.Conv3d(given, width, 1, steps, bias=False), nn.BatchNorm3d(width, track_running_stats=stats)
            )
            if stride > 1 or given != width
            else nn.Identity()
        )
        self.last_relu = last_relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.norm2(self.conv2(self.norm1(self.conv1(x)).clamp(min=0)))
        out = inner + self.shortcut(x)
        return out.clamp(min=0) if self.last_relu else out


class PlainNetwork(nn.Module):
    """DPC's encoder as its authors describe it, of the width w: w, 2w, 4w and 4w channels."""

    def __init__(self, depths: tuple[int, ...], width: int = 64, last_relu: bool = False, stats: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
        self.norm = nn.BatchNorm3d(width, track_running_stats=stats)
        blocks, given = [], width
        for stage, (depth, times) in enumerate(zip(depths, (1, 2, 4, 4))):
            for index in range(depth):
                ends = stage == 3 and index == depth - 1
                stride = 2 if index == 0 and stage > 0 else 1
                relu = last_relu or not ends
                blocks.append(PlainBlock(given, times * width, stride, stage < 2, relu, stats))
                given = times * width
        self.blocks = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.conv(x)).clamp(min=0)
        x = nn.functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        return self.blocks(x)


def with_weights_of(ours: nn.Module, plain: nn.Module) -> nn.Module:
    """Give the plain network our weights and statistics, in order; both are made to differ from their start."""
    draw = torch.Generator().manual_seed(1)
    theirs = plain.state_dict()
    for (name, mine), other in zip(ours.state_dict().items(), theirs, strict=True):
        assert mine.shape == theirs[other].shape, (name, other)
        if mine.ndim == 1:
            mine += 0.2 * torch.rand(mine.shape, generator=draw, dtype=torch.float64).to(mine.dtype)
        theirs[other] = mine.clone()
    plain.load_state_dict(theirs)
    return plain


@pytest.mark.parametrize(
    ("depth", "depths", "final_relu", "stats"),
    [(18, (2, 2, 2, 2), True, True), (34, (3, 4, 6, 3), False, False)],
)
def test_narrow_networks_in_double_precision_with_their_gradients(depth, depths, final_relu, stats) -> None:
    norm = dict(type="BN3d", track_running_stats=stats)
    ours = ResNet2d3d(depth, base_channels=4, final_relu=final_relu, norm_cfg=norm).double()
    plain = with_weights_of(ours, PlainNetwork(depths, 4, final_relu, stats).double())
    clips = torch.randn(2, 3, 6, 33, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, expected = ours(clips), plain(clips)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    pull = torch.randn(found.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    for out in (found, expected):
        (out * pull).sum().backward()
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-8, atol=1e-8)
    for mine, other in zip(ours.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-8)
    assert any("running" in name for name in ours.state_dict()) is stats
    assert bool((found < 0).any()) is not final_relu


def test_a_small_stem_and_a_last_stage_that_strides_in_time_alone_keep_4x4_places_of_32_pixels() -> None:
    network = ResNet2d3d(
        base_channels=4, conv1_kernel=(1, 3, 3), with_pool1=False, spatial_strides=(1, 2, 2, 1), in_channels=1
    )
    assert network.conv1.conv.weight.shape == (4, 1, 1, 3, 3)
    found = network(torch.randn(2, 1, 5, 32, 32))
    assert found.shape == (2, 16, 2, 4, 4)
    assert network.feat_dim == network.inplanes == 16
    assert network.layer4[0].downsample.conv.stride == (2, 1, 1)
    found.square().sum().backward()
    assert network.layer4[0].downsample.conv.weight.grad.abs().max() > 0


def test_weights_are_drawn_by_fan_out_and_normalizations_start_as_the_identity() -> None:
    torch.manual_seed(0)
    network = ResNet2d3d(base_channels=16)
    network.init_weights()
    for name, weight in network.named_parameters():
        if weight.ndim == 5:
            deviation = math.sqrt(2 / (weight.shape[0] * weight[0, 0].numel()))
            tolerance = 5 * deviation / math.sqrt(2 * weight.numel())  # five standard errors of a deviation
            assert float(weight.detach().std()) == pytest.approx(deviation, abs=tolerance), name
        else:
            assert (weight == (1 if name.endswith("bn.weight") else 0)).all(), name


def test_a_file_of_its_own_weights_is_loaded_and_other_depths_are_refused(tmp_path) -> None:
    weights = ResNet2d3d(base_channels=4).state_dict()
    plain, prefixed = str(tmp_path / "plain.pth"), str(tmp_path / "prefixed.pth")
    torch.save({"state_dict": weights}, plain)
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in weights.items()}}, prefixed)
    for settings in (
        dict(init_cfg=dict(type="Pretrained", checkpoint=prefixed, prefix="backbone.")),
        dict(pretrained=plain),
    ):
        network = MODELS.build(dict(type="nda_mm.ResNet2d3d", base_channels=4, **settings))
        network.init_weights()
        for name, value in network.state_dict().items():
            assert torch.equal(value, weights[name]), name
    with pytest.raises(ValueError, match="depth"):
        ResNet2d3d(depth=50)
