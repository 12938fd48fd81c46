"""A recogniser trains on the weights that its config names, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import torch
from mmengine.config import Config

pytest.importorskip("mmaction.models")

from mmengine.registry import MODELS, DefaultScope

from nda_mm.conversion import BackboneMismatchError, convert_backbone
from nda_mm.engine import launch

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = dict(type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A converted small backbone, and its weights."""
    folder = tmp_path_factory.mktemp("small")
    torch.manual_seed(3)
    weights = MODELS.build(SMALL).state_dict()
    torch.save({"state_dict": {f"backbone.{name}": value for name, value in weights.items()}}, folder / "a.pth")
    convert_backbone(folder / "a.pth", folder / "small.pth", "mmpretrain")
    return str(folder / "small.pth"), weights


def runner_of(recipe: str, work_dir: Path, **options: object):
    """The runner of a recipe cut to two iterations."""
    cfg = Config.fromfile(CONFIGS / f"{recipe}.py")
    cfg.merge_from_dict(
        {
            "work_dir": str(work_dir),
            "launcher": "none",
            "train_cfg.max_epochs": 1,
            "train_cfg.val_interval": 5,
            "train_dataloader.batch_size": 4,
            "train_dataloader.dataset.num_clips": 8,
            "val_dataloader.dataset.num_clips": 8,
            "default_hooks.checkpoint.interval": 100,
            "log_level": "WARNING",
            "experiment_name": f"{work_dir.name}_{recipe}_{next(tiny_run._RUNS)}",
            **options,
        }
    )
    return launch.build_runner(cfg)


INIT = {"tsn_digits": "model.backbone.init_cfg", "tsm_digits": "model.backbone.net.init_cfg"}


def named(recipe: str, file: str) -> dict[str, object]:
    if recipe in INIT:
        return {INIT[recipe]: dict(type="Pretrained", checkpoint=file)}
    return {"model.backbone.pretrained": file}


@pytest.mark.parametrize("recipe", ["tsn_digits", "tsm_digits", "i3d_digits"])
def test_each_recipe_trains_from_a_converted_backbone(tmp_path, small, recipe):
    file, weights = small
    runner = runner_of(recipe, tmp_path, **named(recipe, file), **{"optim_wrapper.optimizer.lr": 0.0})
    runner.train()
    assert runner.iter == 2
    state = {name.split("net.")[-1]: value for name, value in runner.model.backbone.state_dict().items()}
    first = state["conv1.weight"] if "conv1.weight" in state else state["conv1.conv.weight"].sum(2)
    torch.testing.assert_close(first, weights["conv1.weight"])


@pytest.mark.parametrize("recipe", ["tsn_digits", "tsm_digits", "i3d_digits"])
def test_another_architecture_stops_before_training(tmp_path, recipe):
    with DefaultScope.overwrite_default_scope("mmaction"):
        wider = MODELS.build(dict(SMALL, stem_channels=32, base_channels=32)).state_dict()
    torch.save(wider, tmp_path / "wider.pth")
    runner = runner_of(recipe, tmp_path, **named(recipe, str(tmp_path / "wider.pth")))
    with pytest.raises(
        BackboneMismatchError,
        match=r"wider.pth does not fit backbone.*stem, width 32\), the model is .*width 16\).*conv1.weight",
    ):
        runner.train()
    assert runner.iter == 0


def test_names_that_pretrained_does_not_read_stop_before_training(tmp_path, small):
    _, weights = small
    torch.save({f"conv1.conv.{n.split('.')[-1]}" if n.startswith("conv1") else n: v for n, v in weights.items()},
               tmp_path / "theirs.pth")  # fmt: skip
    runner = runner_of("i3d_digits", tmp_path, **named("i3d_digits", str(tmp_path / "theirs.pth")))
    with pytest.raises(ValueError, match=r"mmaction2's own names \(conv1.conv.weight\).*--to torchvision"):
        runner.train()


def test_weights_that_did_not_arrive_stop_before_training(tmp_path, small):
    file, _ = small
    runner = runner_of("tsn_digits", tmp_path, **named("tsn_digits", file))
    load = runner.model.backbone.init_weights

    def forget() -> None:
        load()
        with torch.no_grad():
            runner.model.backbone.layer3[1].conv2.weight.mul_(1.1)

    runner.model.backbone.init_weights = forget
    with pytest.raises(BackboneMismatchError, match="does not bear its weights: 1 of 100.*layer3.1.conv2.weight"):
        runner.train()
    assert runner.iter == 0


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no checkpoint .*none.pth"):
        runner_of("i3d_digits", tmp_path, **named("i3d_digits", str(tmp_path / "none.pth"))).train()


def test_without_a_file_the_network_is_trained_from_scratch_and_resumes(tmp_path):
    runner = runner_of("tsm_digits", tmp_path, **{"default_hooks.checkpoint.interval": 1})
    runner.train()
    assert runner.iter == 2
    again = runner_of("tsm_digits", tmp_path, **{"train_cfg.max_epochs": 2, "resume": True})
    again.train()
    assert again.iter == 4
