"""DPC's 2D3D-ResNet from checkpoints of the pretraining, and of a recognizer on its encoder, into mmaction2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_backbones as tiny
import torch
from mmengine.config import Config
from torch import nn

pytest.importorskip("mmaction.models")

from nda_mm.conversion import BackboneMismatchError, convert_backbone, describe
from nda_mm.conversion.resnet import require_whole, to_plain
from nda_mm.utils.files import recipe_path

SMALL = dict(type="nda_mm.ResNet2d3d", depth=18, base_channels=4, conv1_kernel=(1, 3, 3), with_pool1=False)
RECIPE = recipe_path("resnet2d3d_digits.py")


def net(**settings: Any) -> nn.Module:
    return tiny.build("mmaction2", **{**SMALL, **settings})


def checkpoint(network: nn.Module, path: Path, prefix: str = "backbone.") -> Path:
    """As ``nda_mm.DPC`` or a recognizer writes it; what else is in there has other shapes than a ResNet's."""
    weights = {prefix + name: value for name, value in network.state_dict().items()}
    start = prefix.removesuffix("backbone.")
    others = {f"{start}aggregator.candidate.weight": torch.zeros(2, 4, 1, 1), "predictor.0.weight": torch.zeros(3)}
    torch.save({"meta": {"epoch": 3}, "state_dict": {**weights, **others}}, path)
    return path


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.backbone."])
def test_features_are_the_same_after_the_way_through_a_file(tmp_path, prefix) -> None:
    source = tiny.randomize(net())
    report = convert_backbone(checkpoint(source, tmp_path / "a.pth", prefix), tmp_path / "b.pth", "mmaction2")
    assert str(report.architecture) == "2D3D-ResNet-18 (3x3 stem, width 4)"
    assert (report.found.prefix, len(report.found.weights), len(report.found.dropped)) == (prefix, 120, 2)
    target = tiny.randomize(net(), seed=1)
    clips = torch.randn(2, 3, 5, 32, 32, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(tiny.features(target, clips), tiny.features(source, clips))
    tiny.load(target, "mmaction2", tmp_path / "b.pth")
    assert torch.equal(tiny.features(target, clips), tiny.features(source, clips))


def test_the_recipe_takes_every_tensor_of_its_own_network_and_refuses_anothers(tmp_path) -> None:
    settings = Config.fromfile(RECIPE).model.backbone.to_dict()
    source = tiny.randomize(net(**settings))
    path = checkpoint(source, tmp_path / "a.pth")
    report = convert_backbone(path, tmp_path / "b.pth", "mmaction2", config=str(RECIPE))
    assert list(report.checked.values()) == [100]
    wider = checkpoint(tiny.randomize(net(**{**settings, "base_channels": 16})), tmp_path / "c.pth")
    with pytest.raises(BackboneMismatchError, match=r"does not fit.*2D3D-ResNet-18 \(3x3 stem, width 16\).*width 8"):
        convert_backbone(wider, tmp_path / "d.pth", "mmaction2", config=str(RECIPE))
    assert not (tmp_path / "d.pth").exists()


def test_other_hosts_and_other_video_networks_are_refused(tmp_path) -> None:
    path = checkpoint(net(), tmp_path / "a.pth")
    for host in ("mmdet", "mmpretrain", "torchvision"):
        with pytest.raises(BackboneMismatchError, match=rf"2D3D-ResNet-18.*a video network, and {host} has none"):
            convert_backbone(path, tmp_path / "b.pth", host)
    early = tiny.build("mmaction2", 18, type="ResNet3d", pretrained=None, base_channels=4)
    with pytest.raises(BackboneMismatchError, match="is a video network"):
        convert_backbone(checkpoint(early, tmp_path / "a.pth"), tmp_path / "b.pth", "mmaction2")


def test_a_network_without_running_statistics_is_whole_without_them_and_only_without_all() -> None:
    bare = net(norm_cfg=dict(type="BN3d", track_running_stats=False))
    weights = {to_plain(name): value for name, value in bare.state_dict().items()}
    require_whole(weights, describe(weights), "a.pth")
    with_one = {**weights, "bn1.running_mean": torch.zeros(4)}
    with pytest.raises(BackboneMismatchError, match=r"of which 39 tensors are missing: bn1.running_var"):
        require_whole(with_one, describe(with_one), "a.pth")
    without = {name: value for name, value in weights.items() if name != "layer3.0.conv2.weight"}
    with pytest.raises(BackboneMismatchError, match=r"2D3D-ResNet-18.*1 tensors are missing: layer3.0.conv2.weight"):
        require_whole(without, describe(without), "a.pth")
