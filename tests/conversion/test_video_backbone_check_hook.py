"""A recognizer trains on the weights that its config names, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_run
import torch
from mmengine.config import Config

pytest.importorskip("mmaction.models")

from mmengine.registry import MODELS, DefaultScope

from nda_mm.conversion import BackboneMismatchError, convert_backbone
from nda_mm.utils.files import recipe_path

pytestmark = pytest.mark.slow
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
    settings = {
        "train_cfg.max_epochs": 1,
        "train_dataloader.batch_size": 4,
        "train_dataloader.dataset.num_clips": 8,
        "default_hooks.checkpoint.interval": 100,
        "log_level": "WARNING",
    }
    return tiny_run.build_recipe(f"{recipe}.py", work_dir, **{**settings, **options})


INIT = {"tsn_digits": "model.backbone.init_cfg", "tsm_digits": "model.backbone.net.init_cfg"}


def named(recipe: str, file: str) -> dict[str, object]:
    if recipe in INIT:
        return {INIT[recipe]: dict(type="Pretrained", checkpoint=file)}
    return {"model.backbone.pretrained": file}


@pytest.mark.parametrize("recipe", ["tsn_digits", "tsm_digits", "i3d_digits"])
def test_each_recipe_trains_from_a_converted_backbone_and_from_no_other(tmp_path, small, recipe):
    file, weights = small
    runner = runner_of(recipe, tmp_path, **named(recipe, file), **{"optim_wrapper.optimizer.lr": 0.0})
    runner.train()
    assert runner.iter == 2
    state = {name.split("net.")[-1]: value for name, value in runner.model.backbone.state_dict().items()}
    first = state["conv1.weight"] if "conv1.weight" in state else state["conv1.conv.weight"].sum(2)
    torch.testing.assert_close(first, weights["conv1.weight"])
    with DefaultScope.overwrite_default_scope("mmaction"):
        wider = MODELS.build(dict(SMALL, stem_channels=32, base_channels=32)).state_dict()
    torch.save(wider, tmp_path / "wider.pth")
    refused = runner_of(recipe, tmp_path / "refused", **named(recipe, str(tmp_path / "wider.pth")))
    with pytest.raises(BackboneMismatchError, match=r"wider.pth does not fit backbone.*width 32.*width 16"):
        refused.train()
    assert refused.iter == 0


def test_without_a_file_the_network_is_trained_from_scratch_and_resumes(tmp_path):
    runner = runner_of("tsm_digits", tmp_path, **{"default_hooks.checkpoint.interval": 1})
    said: list[str] = []
    runner.logger.warning = lambda text, *_: said.append(text)
    runner.train()
    assert "No pretrained file is named for the backbone, which is trained from scratch." in said
    again = runner_of("tsm_digits", tmp_path, **{"train_cfg.max_epochs": 2, "resume": True})
    again.train()
    assert again.iter == 4


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    torch.manual_seed(4)
    with DefaultScope.overwrite_default_scope("mmaction"):
        model = MODELS.build(Config.fromfile(recipe_path("dpc_digits.py")).model)
    file = tmp_path_factory.mktemp("dpc") / "epoch_1.pth"
    torch.save({"meta": {}, "state_dict": model.state_dict()}, file)
    return file


class TestDPC:
    """The encoder takes the checkpoint of the pretraining, backbone and aggregator; the predictor has no place."""

    @staticmethod
    def changed(pretrained: Path, folder: Path, change) -> str:
        content = torch.load(pretrained, weights_only=True)
        change(content["state_dict"])
        torch.save(content, folder / "changed.pth")
        return str(folder / "changed.pth")

    @staticmethod
    def runner(folder: Path, file: str | None, recipe: str = "dpc_finetune_digits", **options: object):
        given = {"model.backbone.init_cfg": dict(type="Pretrained", checkpoint=file)} if file else {}
        return runner_of(recipe, folder, **given, **options)

    def test_fine_tuning_starts_from_all_of_the_encoder(self, tmp_path, pretrained):
        runner = self.runner(tmp_path, str(pretrained), **{"optim_wrapper.optimizer.lr": 0.0})
        runner.train()
        assert runner.iter == 2
        weights = torch.load(pretrained, weights_only=True)["state_dict"]
        compared = [
            torch.equal(value, weights[name]) for name, value in runner.model.backbone.named_parameters(recurse=True)
        ]
        assert len(compared) == 60 + 6 and all(compared)

    def test_a_missing_weight_stops_before_training(self, tmp_path, pretrained):
        part = "aggregator.update_gate.bias"
        file = self.changed(pretrained, tmp_path, lambda weights: weights.pop(part))
        runner = self.runner(tmp_path, file)
        with pytest.raises(BackboneMismatchError, match=f"changed.pth does not fit backbone.*1 missing .{part}"):
            runner.train()
        assert runner.iter == 0

    def test_a_linear_probe_refuses_to_go_without_and_leaves_the_encoder_alone(self, tmp_path, pretrained):
        with pytest.raises(ValueError, match="needs a pretrained backbone"):
            self.runner(tmp_path, None, "dpc_linear_digits").train()
        runner = self.runner(tmp_path / "given", str(pretrained), "dpc_linear_digits")
        runner.train()
        weights = torch.load(pretrained, weights_only=True)["state_dict"]
        for name, value in runner.model.backbone.state_dict().items():  # running statistics too
            assert torch.equal(value, weights[name]), name
