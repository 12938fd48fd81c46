"""Conversion from checkpoint to file: the same features before and after, and refusals that say why."""

from __future__ import annotations

import re
from argparse import Namespace

import pytest
import tiny_backbones as tiny
import torch

from nda_mm.checkpoints import BrokenCheckpointError
from nda_mm.conversion import BackboneMismatchError, convert, convert_backbone
from nda_mm.utils.files import recipe_path

PAIRS_18 = [(a, b) for a in tiny.HOSTS for b in tiny.HOSTS]
#: Every host at both ends once more with bottlenecks.
PAIRS_50 = [
    ("mmpretrain", "mmaction2"),
    ("mmaction2", "mmdet"),
    ("mmdet", "torchvision"),
    ("torchvision", "mmpretrain"),
]


@pytest.fixture
def checkpoint(tmp_path):
    """A ResNet-18 of mmpretrain's, saved."""
    return tiny.save(tiny.randomise(tiny.build("mmpretrain", 18)), "mmpretrain", tmp_path / "source.pth")


@pytest.mark.parametrize(
    ("depth", "source", "target"),
    [(18, *pair) for pair in PAIRS_18] + [pytest.param(50, *pair, marks=pytest.mark.slow) for pair in PAIRS_50],
)
def test_features_are_the_same_in_both_hosts(tmp_path, depth, source, target):
    before = tiny.randomise(tiny.build(source, depth))
    convert_backbone(tiny.save(before, source, tmp_path / "source.pth"), tmp_path / "out.pth", target)
    after = tiny.randomise(tiny.build(target, depth), seed=9)
    expected, images = tiny.features(before, tiny.images()), tiny.images()
    assert (tiny.features(after, images) - expected).abs().max() > 0.1  # it is the file that makes them equal
    tiny.load(after, target, tmp_path / "out.pth")
    torch.testing.assert_close(tiny.features(after, images), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["mmpretrain", "mmdet"])
def test_a_deep_stem_travels_between_mmpretrain_and_mmdet(tmp_path, target):
    source = {"mmpretrain": "mmdet", "mmdet": "mmpretrain"}[target]
    before = tiny.randomise(tiny.build(source, 50, type="ResNetV1d"))
    convert_backbone(tiny.save(before, source, tmp_path / "a.pth"), tmp_path / "b.pth", target)
    after = tiny.load(tiny.build(target, 50, type="ResNetV1d"), target, tmp_path / "b.pth")
    torch.testing.assert_close(
        tiny.features(after, tiny.images()), tiny.features(before, tiny.images()), rtol=1e-6, atol=1e-6
    )


def test_a_detectors_stages_and_shared_head_read_one_file(tmp_path, checkpoint):
    """C4: three stages in the backbone, the fourth in mmdet's ResLayer, both by the same ``init_cfg``."""
    convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet")
    whole = tiny.load(tiny.build("mmpretrain", 18), "mmpretrain", tmp_path / "out.pth")
    expected = tiny.features(whole, tiny.images())
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    for init in (
        dict(type="Pretrained", checkpoint=str(tmp_path / "out.pth")),
        dict(type="Pretrained", checkpoint=str(checkpoint), prefix="backbone."),  # from the unconverted file
    ):
        backbone = tiny.build("mmdet", 18, **three, init_cfg=init)
        head = tiny.build("mmdet", 18, type="ResLayer", stage=3, init_cfg=init)
        for part in (backbone, head):
            part.init_weights()
        torch.testing.assert_close(
            tiny.features(head, tiny.features(backbone, tiny.images())), expected, rtol=1e-6, atol=1e-6
        )


def test_the_key_encoder_is_another_network(tmp_path):
    query, key = (tiny.randomise(tiny.build("torchvision", 18), seed) for seed in (0, 1))
    weights = {f"module.encoder_q.{n}": v for n, v in query.state_dict().items()}
    weights |= {f"module.encoder_k.{n}": v for n, v in key.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "moco.pth.tar")
    for encoder, source in (("query", query), ("key", key)):
        convert_backbone(tmp_path / "moco.pth.tar", tmp_path / "out.pth", "mmdet", encoder=encoder)
        after = tiny.load(tiny.build("mmdet", 18), "mmdet", tmp_path / "out.pth")
        torch.testing.assert_close(
            tiny.features(after, tiny.images()), tiny.features(source, tiny.images()), rtol=1e-6, atol=1e-6
        )


@pytest.mark.slow
def test_a_run_of_ours_goes_on_in_every_host(tmp_path):
    """moco_digits.py, an epoch of it, saved by SafeCheckpointHook: in mmdet, and inflated in mmaction2."""
    from mmengine.config import Config

    from nda_mm.engine import launch

    cfg = Config.fromfile(recipe_path("moco_digits.py"))
    cfg.merge_from_dict({"train_cfg.max_epochs": 1, "model.queue_len": 64, "train_dataloader.batch_size": 32})
    cfg.merge_from_dict({"train_dataloader.dataset.indices": 64, "custom_hooks": [], "log_level": "WARNING"})
    cfg.merge_from_dict({"default_hooks.checkpoint.interval": 1, "work_dir": str(tmp_path), "launcher": "none"})
    runner = launch.build_runner(cfg)
    runner.train()
    expected = tiny.features(runner.model.backbone, tiny.images(size=32))
    for encoder, config in (("query", "tsn_digits.py"), ("query", "i3d_digits.py"), ("key", "tsm_digits.py")):
        report = convert_backbone(
            tmp_path / "epoch_1.pth",
            tmp_path / "digits.pth",
            "mmpretrain",
            encoder=encoder,
            config=str(recipe_path(config)),
        )
        assert list(report.checked.values()) == [100]
        assert report.statistics.keys() >= {"mean", "std"}
        after = tiny.build(
            "mmdet", 18, type="mmpretrain.ResNet_CIFAR", base_channels=16, stem_channels=16
        )  # as the scenes' detector has it
        tiny.load(after, "mmdet", tmp_path / "digits.pth")
        same = torch.allclose(tiny.features(after, tiny.images(size=32)), expected, rtol=1e-6, atol=1e-6)
        assert same == (encoder == "query")


def test_the_file_says_where_it_came_from_and_the_report_what_became_of_each_tensor(tmp_path, checkpoint):
    report = convert_backbone(checkpoint, tmp_path / "out.pth", "mmaction2")
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert written["meta"] | {"nda_mm": ""} == {
        "nda_mm": "",
        "source": "source.pth",
        "format": "OpenMMLab model",
        "encoder": "query",
        "prefix": "backbone.",
        "host": "mmaction2",
        "architecture": "ResNet-18 (7x7 stem, width 64)",
    }
    text = str(report)
    assert "taken     120 tensors: conv1, bn1 (5), layer1 (24), layer2 (30), layer3 (30), layer4 (30)" in text
    assert "dropped   1 tensors: head.fc" in text
    assert "missing   none" in text
    assert "colour order, mean and std of the inputs" in text and "pytorch: the 3x3 convolution strides" in text


def test_counters_missing_from_an_old_file_are_reported(tmp_path):
    weights = {k: v for k, v in tiny.build("torchvision", 18).state_dict().items() if "num_batches" not in k}
    torch.save(weights, tmp_path / "old.pth")
    report = convert_backbone(tmp_path / "old.pth", tmp_path / "out.pth", "mmdet")
    assert len(report.missing) == 20
    assert "missing   20 batch counters, which are not needed" in str(report)


class TestRefusals:
    """Each leaves no file behind."""

    @pytest.fixture(autouse=True)
    def _nothing_is_written(self, tmp_path):
        yield
        assert not (tmp_path / "out.pth").exists()
        assert not list(tmp_path.glob(".*"))

    def test_a_missing_and_a_truncated_and_an_altered_file(self, tmp_path, checkpoint):
        with pytest.raises(FileNotFoundError, match="There is no checkpoint"):
            convert_backbone(tmp_path / "none.pth", tmp_path / "out.pth", "mmdet")
        content = checkpoint.read_bytes()
        checkpoint.write_bytes(content[: len(content) // 2])
        with pytest.raises(BrokenCheckpointError, match=r"source.pth is truncated or damaged"):
            convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet")
        checkpoint.write_bytes(content[:5000] + bytes(64) + content[5064:])
        with pytest.raises(BrokenCheckpointError, match=r"source.pth (was altered|is truncated or damaged)"):
            convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet")

    def test_a_file_that_would_run_code(self, tmp_path):
        torch.save({"state_dict": {}, "args": Namespace(lr=1)}, tmp_path / "hostile.pth")
        with pytest.raises(BrokenCheckpointError, match="can't be loaded without running code.*argparse.Namespace"):
            convert_backbone(tmp_path / "hostile.pth", tmp_path / "out.pth", "mmdet")

    def test_missing_layers(self, tmp_path):
        weights = tiny.build("torchvision", 18).state_dict()
        del weights["layer2.0.conv1.weight"], weights["bn1.bias"]
        torch.save(weights, tmp_path / "a.pth")
        with pytest.raises(BackboneMismatchError, match="2 tensors are missing: bn1.bias, layer2.0.conv1.weight"):
            convert_backbone(tmp_path / "a.pth", tmp_path / "out.pth", "mmdet")

    @pytest.mark.parametrize("host", ["mmaction2", "torchvision"])
    def test_a_network_that_the_host_does_not_have(self, tmp_path, host):
        small = tiny.build("mmpretrain", 18, type="ResNet_CIFAR", base_channels=16, stem_channels=16)
        tiny.save(small, "mmpretrain", tmp_path / "a.pth")
        with pytest.raises(
            BackboneMismatchError,
            match=rf"ResNet-18 \(3x3 stem, width 16\), and {host} has only .*7x7 stem and width 64; .*--to mmpretrain",
        ):
            convert_backbone(tmp_path / "a.pth", tmp_path / "out.pth", host)

    def test_another_kind_of_network(self, tmp_path):
        tiny.save(tiny.build("mmpretrain", 50, type="SEResNet"), "mmpretrain", tmp_path / "a.pth")
        with pytest.raises(
            BackboneMismatchError, match="no ResNet but .*names that mmaction2 has for it are not known"
        ):
            convert_backbone(tmp_path / "a.pth", tmp_path / "out.pth", "mmaction2")
        with pytest.raises(BackboneMismatchError, match="can only be seen at a model: name a config with --check"):
            convert_backbone(tmp_path / "a.pth", tmp_path / "out.pth", "mmpretrain")

    def test_an_unknown_host(self, tmp_path, checkpoint):
        with pytest.raises(
            ValueError, match="must be one of mmdet, mmaction2, mmpretrain, torchvision, but got 'timm'"
        ):
            convert_backbone(checkpoint, tmp_path / "out.pth", "timm")


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink"])
def test_the_source_is_never_written_over(tmp_path, checkpoint, link):
    out = checkpoint if link == "same" else tmp_path / "link.pth"
    if link == "symlink":
        out.symlink_to(checkpoint)
    elif link == "hardlink":
        out.hardlink_to(checkpoint)
    before = checkpoint.read_bytes()
    with pytest.raises(ValueError, match=re.escape(f"{out} is the source")):
        convert_backbone(checkpoint, out, "mmdet")
    assert checkpoint.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_file(tmp_path, checkpoint, monkeypatch):
    (tmp_path / "out.pth").write_bytes(b"an older file")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        convert_backbone(checkpoint, tmp_path / "out.pth", "mmdet")
    assert (tmp_path / "out.pth").read_bytes() == b"an older file"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.pth", "source.pth"]


def test_a_mismatch_found_by_the_check_leaves_no_file(tmp_path, checkpoint):
    with pytest.raises(BackboneMismatchError, match=r"ResNet-18 .*the model is a ResNet-50 .*layer1.0.conv1.weight is"):
        convert_backbone(checkpoint, tmp_path / "out.pth", "torchvision", config="torchvision.resnet50")
    assert not (tmp_path / "out.pth").exists()
    assert convert.HOSTS == ("mmdet", "mmaction2", "mmpretrain", "torchvision")
