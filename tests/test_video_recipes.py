"""The recipes of recognisers on real video files, laid out as mmaction2's tools lay out UCF101."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from nda_mm.datasets import MovingDigits
from nda_mm.datasets.toy.moving_digits import write_videos
from nda_mm.utils.files import recipe_path

pytest.importorskip("mmaction.models")
pytest.importorskip("decord")

#: What one item is: clips, channels and frames of 224 pixels.
INPUTS = {
    "tsn_ucf101": (3, 3, 224, 224),
    "tsm_ucf101": (8, 3, 224, 224),
    "i3d_ucf101": (1, 3, 32, 224, 224),
}


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory) -> Path:
    """Clips in data/ucf101's layout; what they show does not matter here."""
    folder = tmp_path_factory.mktemp("videos") / "data" / "ucf101"
    for split, theirs in (("train", "train"), ("test", "val")):
        clips = MovingDigits(split, num_clips=4, num_frames=70, size=96, cache=False)
        write_videos(clips, folder / "videos").rename(folder / f"ucf101_{theirs}_split_1_videos.txt")
    return folder.parents[1]


@pytest.mark.parametrize("recipe", INPUTS)
def test_the_ucf101_recipes_read_video_files(ucf101, monkeypatch, recipe):
    cfg = Config.fromfile(recipe_path(f"{recipe}.py"))
    monkeypatch.chdir(ucf101)
    assert cfg.model.cls_head.num_classes == 101
    # As MoCo was trained on ImageNet in mmpretrain: RGB, which decord gives, with these.
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert not cfg.model.data_preprocessor.get("to_rgb", False)
    with DefaultScope.overwrite_default_scope("mmaction"):
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            dataset = DATASETS.build(loader.dataset)
            assert len(dataset) == 4
            assert tuple(dataset[1]["inputs"].shape) == INPUTS[recipe]
            assert dataset[3]["data_samples"].gt_label.tolist() == [3]


@pytest.fixture
def hmdb51(ucf101, tmp_path) -> Path:
    """The same clips in data/hmdb51's layout."""
    (tmp_path / "data" / "hmdb51").mkdir(parents=True)
    (tmp_path / "data" / "hmdb51" / "videos").symlink_to(ucf101 / "data" / "ucf101" / "videos")
    for split in ("train", "val"):
        words = (ucf101 / "data" / "ucf101" / f"ucf101_{split}_split_1_videos.txt").read_text()
        (tmp_path / "data" / "hmdb51" / f"hmdb51_{split}_split_1_videos.txt").write_text(words)
    return tmp_path


class TestDPC:
    """The clips have 70 frames and so start over: a window of 8 blocks of 5 spans 118."""

    @pytest.mark.parametrize("data", ["ucf101", "hmdb51"])
    def test_the_pretraining_reads_blocks_that_follow_each_other(self, data, request, monkeypatch):
        monkeypatch.chdir(request.getfixturevalue(data))
        cfg = Config.fromfile(recipe_path(f"nda_dpc_{data}.py"))
        with DefaultScope.overwrite_default_scope("mmaction"):
            item = DATASETS.build(cfg.train_dataloader.dataset)[1]
            assert (item["inputs"].shape, item["inputs"].dtype) == ((8, 3, 5, 128, 128), torch.uint8)
            # Without augmentation, a block is the frames of the clip as one clip of 40 frames has them.
            plain = [step for step in cfg.train_pipeline if "Random" not in step.type and "Jitter" not in step.type]
            plain = [step for step in plain if step.type != "Flip"]
            blocks = DATASETS.build({**cfg.train_dataloader.dataset, "pipeline": plain})[1]["inputs"]
            frames = dict(type="SampleFrames", clip_len=40, frame_interval=3, num_clips=1, test_mode=True)
            whole = DATASETS.build({**cfg.train_dataloader.dataset, "pipeline": [plain[0], frames, *plain[2:]]})
            clip = whole[1]["inputs"]
        assert torch.equal(blocks.transpose(0, 1).flatten(1, 2), clip[0])

    @pytest.mark.parametrize("data", ["ucf101", "hmdb51"])
    @pytest.mark.parametrize("recipe", ["dpc_finetune", "dpc_linear", "resnet2d3d"])
    def test_the_classifiers_read_and_test_on_ten_clips(self, recipe, data, request, monkeypatch):
        monkeypatch.chdir(request.getfixturevalue(data))
        cfg = Config.fromfile(recipe_path(f"{recipe}_{data}.py"))
        with DefaultScope.overwrite_default_scope("mmaction"):
            for split, clips in (("train", 1), ("val", 1), ("test", 10)):
                item = DATASETS.build(cfg[f"{split}_dataloader"].dataset)[2]
                assert tuple(item["inputs"].shape) == (clips, 3, 40, 128, 128)
                assert item["data_samples"].gt_label.tolist() == [2]


@pytest.mark.slow
def test_dpc_trains_on_video_files_and_hands_its_encoder_on(ucf101, tmp_path, monkeypatch):
    """Whole but for width, batch and length."""
    from nda_mm.engine import launch

    monkeypatch.chdir(ucf101)
    narrow = {"backbone.base_channels": 4, "aggregator.in_channels": 16}
    pretrained = str(tmp_path / "nda_dpc_ucf101" / "epoch_1.pth")
    encoder = {"type": "Pretrained", "checkpoint": pretrained}
    for recipe, options in (
        ("nda_dpc_ucf101", {f"model.{key}": value for key, value in narrow.items()}),
        (
            "dpc_finetune_ucf101",
            {f"model.backbone.{key}": value for key, value in narrow.items()}
            | {"model.backbone.init_cfg": encoder, "model.cls_head.in_channels": 16},
        ),
    ):
        cfg = Config.fromfile(recipe_path(f"{recipe}.py"))
        cfg.merge_from_dict(options)
        cfg.merge_from_dict({"train_cfg.max_epochs": 1, "train_cfg.val_interval": 1} if "fine" in recipe else {})
        cfg.merge_from_dict({"train_cfg.max_epochs": 1, "default_hooks.checkpoint.interval": 1})
        cfg.merge_from_dict({"work_dir": str(tmp_path / recipe), "launcher": "none", "log_level": "WARNING"})
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            if loader in cfg:
                cfg[loader].update(batch_size=2, num_workers=0, persistent_workers=False)
        runner = launch.build_runner(cfg)
        runner.train()
        assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar("val/acc/top1").current() <= 1
    results = runner.test()  # the mean over ten clips
    assert 0 <= results["acc/top1"] <= 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["tsm_ucf101"])
def test_a_ucf101_recipe_trains_and_tests_from_a_converted_file(ucf101, tmp_path, monkeypatch, recipe):
    """Whole but for depth, batch and length; the file is torchvision's ResNet-18 with random weights."""
    from torchvision.models import resnet18

    from nda_mm.conversion import convert_backbone
    from nda_mm.engine import launch

    torch.save(resnet18().state_dict(), tmp_path / "source.pth")
    convert_backbone(tmp_path / "source.pth", tmp_path / "r18.pth", "torchvision")
    monkeypatch.chdir(ucf101)
    cfg = Config.fromfile(recipe_path(f"{recipe}.py"))
    cfg.merge_from_dict(
        {
            "model.backbone.depth": 18,
            "model.backbone.pretrained": str(tmp_path / "r18.pth"),
            "model.cls_head.in_channels": 512,
            "train_cfg.max_epochs": 1,
            "work_dir": str(tmp_path / "run"),
            "launcher": "none",
            "log_level": "WARNING",
        }
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    runner = launch.build_runner(cfg)
    runner.train()
    assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar("val/acc/top1").current() <= 1
