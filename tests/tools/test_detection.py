"""Detection from end to end: pretrained weights, conversion, training, resume, average precision, drawings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

pytest.importorskip("mmdet")
pytest.importorskip("mmpretrain")
pytest.importorskip("sklearn")

import tiny_detection as tiny

from nda_mm.compat import allow_safe_globals
from nda_mm.engine import launch
from nda_mm.utils.files import recipe_path
from tools import convert_backbone as convert
from tools import test, train

allow_safe_globals()  # the tests look into checkpoints themselves

RECIPE = recipe_path("detection_digits_scenes.py")

pytestmark = pytest.mark.usefixtures("quick")


def options(tmp_path: Path, **more: Any) -> list[str]:
    """Few scenes, made in the test's own folder."""
    scenes = {"train": 8, "test": 3}
    settings: dict[str, Any] = {"train_dataloader.batch_size": 4, "default_hooks.checkpoint.interval": 1}
    for loader in ("train", "val", "test"):
        settings[f"{loader}_dataloader.dataset.data_root"] = tmp_path / "scenes"
        settings.update({f"{loader}_dataloader.dataset.scenes.{key}": value for key, value in scenes.items()})
    settings.update({"param_scheduler.total_steps": 2, "train_cfg.max_epochs": 2, "train_cfg.val_interval": 2, **more})
    return ["--cfg-options", *(f"{key}={value}" for key, value in settings.items())]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["state_dict"]


@pytest.mark.slow
def test_from_pretrained_weights_to_average_precision_and_on_after_an_interruption(
    tmp_path: Path, untrained: Callable[..., str]
) -> None:
    convert.main([untrained("moco_digits", tmp_path / "moco.pth"), str(tmp_path / "backbone.pth"), "--to", "mmdet"])
    backbone = weights(tmp_path / "backbone.pth")

    # So few steps make a detector sure of nothing, and without detections there is no precision
    given: dict[str, Any] = {"model.backbone.init_cfg.type": "Pretrained", "model.test_cfg.score_thr": 0}
    given["model.backbone.init_cfg.checkpoint"] = str(tmp_path / "backbone.pth")
    straight = [str(RECIPE), "--work-dir", str(tmp_path / "straight"), *options(tmp_path, **given)]
    train.main(straight)
    # a learning rate of a few hundredths of the peak moved the backbone a little, from where it was pretrained
    trained = weights(tmp_path / "straight" / "epoch_1.pth")
    moved = [(trained[f"backbone.{k}"] - v).abs().max().item() for k, v in backbone.items() if k.endswith("weight")]
    assert 0 < max(moved) < 0.02

    scalars = next((tmp_path / "straight").glob("*/vis_data/scalars.json")).read_text().splitlines()
    measured = [json.loads(line) for line in scalars]
    precision = next(line["coco/bbox_mAP"] for line in measured if "coco/bbox_mAP" in line)
    assert 0 <= precision <= 1

    # as if it had been stopped after its first epoch
    first = str(tmp_path / "straight" / "epoch_1.pth")
    train.main([str(RECIPE), "--work-dir", str(tmp_path / "cut"), "--resume", first, *options(tmp_path, **given)])
    resumed, whole = (weights(tmp_path / name / "epoch_2.pth") for name in ("cut", "straight"))
    assert [name for name in whole if not torch.equal(whole[name], resumed[name])] == []

    metrics = test.main(
        [str(RECIPE), str(tmp_path / "straight" / "epoch_2.pth"), "--work-dir", "t", *options(tmp_path, **given)]
    )
    assert metrics["coco/bbox_mAP"] == pytest.approx(precision, abs=1e-9)


@pytest.mark.slow
def test_detections_are_drawn_where_the_boxes_are(tmp_path: Path, untrained: Callable[..., str]) -> None:
    drawn = tmp_path / "drawn"
    # an untrained detector is sure of nothing: draw what little it says
    unsure = {
        "model.test_cfg.score_thr": 0,
        "model.test_cfg.max_per_img": 2,
        "default_hooks.visualization.score_thr": 0,
        # drawn at the file's size, whatever the detector saw
        "test_dataloader.dataset.pipeline.1.scale": "(64,64)",
    }
    random = untrained("detection_digits_scenes", tmp_path / "random.pth")
    command = [str(RECIPE), random, "--work-dir", "t", "--show-dir", str(drawn)]
    test.main([*command, *options(tmp_path, **unsure)])
    content = json.loads((tmp_path / "scenes" / "test.json").read_text())
    assert sorted(path.name for path in drawn.iterdir()) == [image["file_name"] for image in content["images"]]
    for image in content["images"]:
        scene = Image.open(tmp_path / "scenes" / "test" / image["file_name"])
        before = np.asarray(scene.resize((480, 480), Image.Resampling.BICUBIC), dtype=int)
        picture = np.asarray(Image.open(drawn / image["file_name"]), dtype=int)
        assert picture.shape == (480, 960, 3)  # what was to be found, and what was found, five times as large
        wanted, found = (np.abs(half - before).sum(axis=-1) for half in (picture[:, :480], picture[:, 480:]))
        for annotation in content["annotations"]:
            if annotation["image_id"] != image["id"]:
                continue
            x, y, _, height = (5 * side for side in annotation["bbox"])
            middle = y + height // 2
            assert wanted[middle, max(x - 1, 0) : x + 2].max() > 60  # its left side is drawn
        assert (found > 60).sum() > 20  # at least one box, too


def test_show_dir_is_refused_for_what_has_no_boxes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--show-dir"):
        test.main([str(recipe_path("classifier_digits.py")), "none.pth", "--show-dir", str(tmp_path / "drawn")])
    assert not (tmp_path / "drawn").exists()


@pytest.mark.slow
def test_the_moco_protocol_trains(tmp_path: Path) -> None:
    """Two iterations of the recipe on planted images, small and few, of fewer boxes; nothing else of it is changed."""
    for year in ("VOC2007", "VOC2012"):
        for number in range(3):
            tiny.write_voc(tmp_path / year, str(number), [("cat", tiny.GOOD), ("dog", tiny.FAULTY[2])])
        tiny.list_images(tmp_path / year, "012", "trainval")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        backbone = MODELS.build(dict(type="ResNet", depth=50)).state_dict()
    torch.save({"meta": {}, "state_dict": backbone}, tmp_path / "backbone.pth")
    config = Config.fromfile(recipe_path("detection_voc_c4.py"))
    for dataset in config.train_dataloader.dataset.datasets:
        dataset.data_root = str(tmp_path)
        next(step for step in dataset.pipeline if step.type == "RandomChoiceResize").scales = [(90, 64), (90, 72)]
    for part in ("dataloader", "cfg", "evaluator"):
        config[f"val_{part}"] = config[f"test_{part}"] = None
    pretrained = str(tmp_path / "backbone.pth")
    settings = {
        "work_dir": str(tmp_path / "run"),
        "launcher": "none",
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "train_cfg.max_iters": 2,
        "model.train_cfg.rcnn.sampler.num": 16,
        "model.backbone.init_cfg.checkpoint": pretrained,
        "model.roi_head.shared_head.init_cfg.checkpoint": pretrained,
    }
    config.merge_from_dict(settings)
    runner = launch.build_runner(config)
    runner.train()
    assert runner.iter == 2
    shared = runner.model.roi_head.shared_head.state_dict()
    moved = max((shared[name] - backbone[name]).abs().max().item() for name in shared if name.endswith("conv2.weight"))
    assert 0 < moved < 1e-2  # the warm-up's first steps from where it was pretrained
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
