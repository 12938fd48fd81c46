"""The recipes of recognisers on real video files, laid out as mmaction2's tools lay out UCF101."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from nda_mm.datasets import MovingDigits
from nda_mm.datasets.video_files import write_videos

pytest.importorskip("mmaction.models")
pytest.importorskip("decord")

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
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
    cfg = Config.fromfile(CONFIGS / f"{recipe}.py")
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
    cfg = Config.fromfile(CONFIGS / f"{recipe}.py")
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
