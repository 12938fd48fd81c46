"""Conversion from checkpoint to file: the same features before and after, and refusals that say why."""

from __future__ import annotations

from argparse import Namespace

import pytest
import tiny_backbones as tiny
import torch
from mmengine.config import Config

from nda_mm.checkpoints import BrokenCheckpointError
from nda_mm.conversion import BackboneMismatchError, convert_backbone
from nda_mm.utils.files import recipe_path

#: Each host once as the source and once as the target.
PAIRS = [
    *((18, a, b) for a, b in zip(tiny.HOSTS, (*tiny.HOSTS[1:], tiny.HOSTS[0]))),
    pytest.param(50, "mmaction2", "mmdet", marks=pytest.mark.slow),
]


@pytest.fixture
def checkpoint(tmp_path):
    """A ResNet-18 of mmpretrain's, saved."""
    return tiny.save(tiny.randomize(tiny.build("mmpretrain", 18)), "mmpretrain", tmp_path / "source.pth")


def same_features(one, other):
    expected, found = (tiny.features(net, tiny.images()) for net in (one, other))
    return torch.allclose(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("depth", "source", "target"), PAIRS)
def test_features_are_the_same_in_both_hosts(tmp_path, depth, source, target):
    before = tiny.randomize(tiny.build(source, depth))
    convert_backbone(tiny.save(before, source, tmp_path / "source.pth"), tmp_path / "out.pth", target)
    after = tiny.randomize(tiny.build(target, depth), seed=9)
    assert not same_features(before, after)  # it is the file that makes them equal
    assert same_features(before, tiny.load(after, target, tmp_path / "out.pth"))


def test_a_detectors_stages_and_shared_head_read_one_file(tmp_path, checkpoint):
    """C4: three stages in the backbone, the fourth in mmdet's ResLayer, both by the same ``init_cfg``, both checked."""
    init = dict(type="Pretrained", checkpoint=str(tmp_path / "out.pth"))
    three = dict(depth=18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,), init_cfg=init)
    fourth = dict(depth=18, stage=3, init_cfg=init)
    config = tmp_path / "c4.py"
    config.write_text(
        f"default_scope = 'mmdet'\nmodel = dict(\n    backbone=dict(type='ResNet', **{three}),\n"
        f"    roi_head=dict(shared_head=dict(type='ResLayer', **{fourth})),\n)\n"
    )
    report = convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet", config=str(config))
    assert report.checked == {f"the backbone of {config}": 75, f"the shared head of {config}": 25}
    whole = tiny.load(tiny.build("mmpretrain", 18), "mmpretrain", tmp_path / "out.pth")
    expected = tiny.features(whole, tiny.images())
    backbone, head = tiny.build("mmdet", **three), tiny.build("mmdet", type="ResLayer", **fourth)
    for part in (backbone, head):
        part.init_weights()
    found = tiny.features(head, tiny.features(backbone, tiny.images()))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    # A head of another depth is refused although the backbone fits.
    config.write_text(config.read_text().replace("'ResLayer', **{'depth': 18", "'ResLayer', **{'depth': 50"))
    with pytest.raises(BackboneMismatchError, match="does not fit the shared head.*layer4.0.conv1.weight"):
        convert_backbone(checkpoint, tmp_path / "other.pth", "mmdet", config=str(config))
    assert not (tmp_path / "other.pth").exists()


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        ("truncated", BrokenCheckpointError, "source.pth"),
        ("code", BrokenCheckpointError, "argparse.Namespace"),
        ("layers", BackboneMismatchError, "2 tensors are missing: bn1.bias, layer2.0.conv1.weight"),
    ],
)
def test_a_file_that_can_not_be_used_is_refused(tmp_path, checkpoint, damage, error, message):
    if damage == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:5000])
    elif damage == "code":
        torch.save({"state_dict": {}, "args": Namespace(lr=1)}, checkpoint)
    else:
        weights = tiny.build("torchvision", 18).state_dict()
        del weights["layer2.0.conv1.weight"], weights["bn1.bias"]
        torch.save(weights, checkpoint)
    with pytest.raises(error, match=message):
        convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet")
    assert [path for path in tmp_path.iterdir() if path != checkpoint] == []


def test_networks_that_the_host_does_not_have_are_refused(tmp_path, checkpoint):
    small = tiny.save(tiny.build("mmpretrain", **tiny.SMALL), "mmpretrain", tmp_path / "small.pth")
    other = tiny.save(tiny.build("mmpretrain", 50, type="SEResNet"), "mmpretrain", tmp_path / "other.pth")
    for source, host, error, message in (
        (small, "mmaction2", BackboneMismatchError, r"ResNet-18 \(3x3 stem, width 16\).*--to mmpretrain"),
        (other, "mmaction2", BackboneMismatchError, "not hold a ResNet"),
        (other, "mmpretrain", BackboneMismatchError, "--check"),
        (checkpoint, "timm", ValueError, "'timm'"),
    ):
        with pytest.raises(error, match=message):
            convert_backbone(source, tmp_path / "out.pth", host)
        assert not (tmp_path / "out.pth").exists()


def test_the_source_is_never_written_over(tmp_path, checkpoint):
    (tmp_path / "link.pth").hardlink_to(checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match="is the source"):
        convert_backbone(checkpoint, tmp_path / "link.pth", "mmdet")
    assert checkpoint.read_bytes() == before


def save_dpc(network, path, prefix="backbone."):
    """As ``nda_mm.DPC`` or a recognizer writes it; what else is in there has other shapes than a ResNet's."""
    weights = {prefix + name: value for name, value in network.state_dict().items()}
    start = prefix.removesuffix("backbone.")
    others = {f"{start}aggregator.candidate.weight": torch.zeros(2, 4, 1, 1), "predictor.0.weight": torch.zeros(3)}
    torch.save({"meta": {"epoch": 3}, "state_dict": {**weights, **others}}, path)
    return path


@pytest.mark.parametrize("prefix", ["backbone.", "backbone.backbone."])
def test_dpcs_features_are_the_same_after_the_way_through_a_file(tmp_path, prefix):
    source = tiny.randomize(tiny.build("mmaction2", **tiny.DPC))
    report = convert_backbone(save_dpc(source, tmp_path / "a.pth", prefix), tmp_path / "b.pth", "mmaction2")
    assert str(report.architecture) == "2D3D-ResNet-18 (3x3 stem, width 4)"
    assert (report.found.prefix, len(report.found.weights), len(report.found.dropped)) == (prefix, 120, 2)
    target = tiny.randomize(tiny.build("mmaction2", **tiny.DPC), seed=1)
    clips = torch.randn(2, 3, 5, 32, 32, generator=torch.Generator().manual_seed(2))
    assert not torch.equal(tiny.features(target, clips), tiny.features(source, clips))
    tiny.load(target, "mmaction2", tmp_path / "b.pth")
    assert torch.equal(tiny.features(target, clips), tiny.features(source, clips))


def test_the_recipe_of_dpcs_network_takes_every_tensor(tmp_path):
    recipe = recipe_path("resnet2d3d_digits.py")
    settings = Config.fromfile(recipe).model.backbone.to_dict()
    source = tiny.randomize(tiny.build("mmaction2", **settings))
    report = convert_backbone(save_dpc(source, tmp_path / "a.pth"), tmp_path / "b.pth", "mmaction2", config=str(recipe))
    assert list(report.checked.values()) == [100]


def test_video_networks_are_refused_but_dpcs_in_mmaction2(tmp_path):
    path = save_dpc(tiny.build("mmaction2", **tiny.DPC), tmp_path / "a.pth")
    for host in ("mmdet", "mmpretrain", "torchvision"):
        with pytest.raises(BackboneMismatchError, match=rf"2D3D-ResNet-18.*a video network, and {host} has none"):
            convert_backbone(path, tmp_path / "b.pth", host)
    early = tiny.build("mmaction2", 18, type="ResNet3d", pretrained=None, base_channels=4)
    with pytest.raises(BackboneMismatchError, match="is a video network"):
        convert_backbone(save_dpc(early, tmp_path / "a.pth"), tmp_path / "b.pth", "mmaction2")
