"""A model trains on the weights that its config names, or not at all: recipes of mmpretrain and mmaction2, cut."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

pytest.importorskip("mmaction.models")

from mmpretrain.models import ResNet_CIFAR

from nda_mm.conversion import BackboneMismatchError, PretrainedCheckHook
from nda_mm.utils.files import recipe_path

PROBE = "linear_digits"


def runner_of(recipe: str, work_dir: Path, **options: Any) -> Runner:
    """The runner of a recipe cut to two iterations."""
    length = "indices" if recipe == PROBE else "num_clips"
    settings = {
        "train_cfg.max_epochs": 1,
        "train_dataloader.batch_size": 4,
        f"train_dataloader.dataset.{length}": 8,
        "default_hooks.checkpoint.interval": 100,
        "log_level": "WARNING",
    }
    return tiny_run.build_recipe(f"{recipe}.py", work_dir, **{**settings, **options})


def named(file: object, place: str = "model.backbone.init_cfg", prefix: str | None = None) -> dict[str, Any]:
    """The option that names a file."""
    return {place: dict(type="Pretrained", checkpoint=str(file), prefix=prefix)}


def refused(runner: Runner, message: str, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=message):
        runner.train()
    assert runner.iter == 0


def saved_model(recipe: str, file: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """The checkpoint of a recipe's untrained model, and its weights."""
    config = Config.fromfile(recipe_path(f"{recipe}.py"))
    torch.manual_seed(3)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        weights = MODELS.build(config.model).state_dict()
    torch.save({"meta": {}, "state_dict": weights}, file)
    return file, weights


@pytest.fixture(scope="module")
def moco(tmp_path_factory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint of MoCo, and the weights of its backbone."""
    file, weights = saved_model("moco_digits", tmp_path_factory.mktemp("moco") / "epoch_1.pth")
    return file, {n.removeprefix("backbone."): v for n, v in weights.items() if n.startswith("backbone.")}


def test_a_linear_probe_takes_the_backbone_and_trains_the_head_alone(moco, tmp_path):
    """Weights and running statistics are MoCo's, bit for bit; a resumed run needs the checkpoint no more."""
    file, expected = moco
    options = {"default_hooks.checkpoint.interval": 1}
    runner = runner_of(PROBE, tmp_path, **named(file, prefix="backbone."), **options)
    runner.train()
    assert not any(parameter.requires_grad for parameter in runner.model.backbone.parameters())
    assert all(
        runner.optim_wrapper.optimizer.state[parameter]["momentum_buffer"].abs().max() > 0
        for parameter in runner.model.head.parameters()
    )
    again = {"train_cfg.max_epochs": 2, "resume": True, "model.backbone.init_cfg": None}
    resumed = runner_of(PROBE, tmp_path, **options, **again)
    resumed.train()
    for trained, iterations in ((runner, 2), (resumed, 4)):
        found = trained.model.backbone.state_dict()
        assert expected.keys() == found.keys() and trained.iter == iterations
        assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []


def test_what_does_not_fit_is_refused_before_training(moco, tmp_path):
    file, _ = moco
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(file.read_bytes()[:5000])
    whole = named(file, prefix="backbone.")
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,), frozen_stages=3)
    for options, message in (
        ({}, r"--cfg-options model\.backbone\.init_cfg\.checkpoint"),
        (named(damaged), r"damaged\.pth"),
        ({**whole, "model.backbone.base_channels": 8}, r"does not fit backbone .* of another shape \(layer1.0.conv1"),
        ({**whole, **{f"model.backbone.{key}": value for key, value in three.items()}}, r"unexpected \(layer4.0"),
        (named(file), r"prefix None.*unexpected .*backbone\."),
        ({**whole, "custom_hooks.0.module": "trunk"}, "ImageClassifier has no part 'trunk'"),
    ):
        refused(runner_of(PROBE, tmp_path, **options), message)
    with pytest.raises(TypeError, match="ignore must be a list"):
        PretrainedCheckHook(ignore="fc.")


def test_plain_weights_fit_and_counters_may_be_absent(moco, tmp_path):
    weights = {name: value for name, value in moco[1].items() if "num_batches" not in name}
    torch.save({**weights, "fc.weight": torch.zeros(2, 2)}, tmp_path / "plain.pth")
    options = named(tmp_path / "plain.pth")
    refused(runner_of(PROBE, tmp_path, **options), r"1 unexpected \(fc.weight\)")
    runner = runner_of(PROBE, tmp_path, **options, **{"custom_hooks.0.ignore": ["fc."]})
    runner.train()
    found = runner.model.backbone.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in weights.items())


def test_weights_that_are_initialised_again_are_noticed(moco, tmp_path, monkeypatch):
    load = ResNet_CIFAR.init_weights

    def init_weights(self):
        load(self)
        torch.nn.init.zeros_(self.layer3[0].conv1.weight)

    monkeypatch.setattr(ResNet_CIFAR, "init_weights", init_weights)
    runner = runner_of(PROBE, tmp_path, **named(moco[0], prefix="backbone."))
    refused(runner, r"does not hold .*1 of 120 tensors differ \(layer3.0.conv1.weight", BackboneMismatchError)


PLACES = {
    "tsn_digits": "model.backbone.init_cfg",
    "tsm_digits": "model.backbone.net.init_cfg",
    "i3d_digits": "model.backbone.pretrained",
}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", PLACES)
def test_each_recognizer_trains_from_a_2d_backbone_and_from_no_other(moco, tmp_path, recipe):
    weights = moco[1]

    def start(name: str, weights: dict[str, torch.Tensor]) -> Runner:
        torch.save(weights, tmp_path / f"{name}.pth")
        place = PLACES[recipe]
        option = named(tmp_path / f"{name}.pth", place)
        option = option if place.endswith("init_cfg") else {place: option[place]["checkpoint"]}
        return runner_of(recipe, tmp_path / name, **option, **{"optim_wrapper.optimizer.lr": 0.0})

    runner = start("small", weights)
    runner.train()
    assert runner.iter == 2
    state = {name.split("net.")[-1]: value for name, value in runner.model.backbone.state_dict().items()}
    first = state["conv1.weight"] if "conv1.weight" in state else state["conv1.conv.weight"].sum(2)
    torch.testing.assert_close(first, weights["conv1.weight"])
    wider = ResNet_CIFAR(depth=18, stem_channels=32, base_channels=32).state_dict()
    refused(start("wider", wider), r"wider.pth does not fit backbone.*width 32.*width 16", BackboneMismatchError)


@pytest.mark.slow
def test_without_a_file_the_network_is_trained_from_scratch_and_resumes(tmp_path):
    runner = runner_of("tsm_digits", tmp_path, **{"default_hooks.checkpoint.interval": 1})
    said: list[str] = []
    runner.logger.warning = lambda text, *_: said.append(text)
    runner.train()
    assert "No pretrained file is named for the backbone, which is trained from scratch." in said
    again = runner_of("tsm_digits", tmp_path, **{"train_cfg.max_epochs": 2, "resume": True})
    again.train()
    assert again.iter == 4


@pytest.mark.slow
def test_dpcs_encoder_takes_the_whole_checkpoint_of_the_pretraining_or_none(tmp_path):
    """Backbone and aggregator; the predictor has no place."""
    file, weights = saved_model("dpc_digits", tmp_path / "dpc.pth")
    runner = runner_of("dpc_finetune_digits", tmp_path, **named(file), **{"optim_wrapper.optimizer.lr": 0.0})
    runner.train()
    compared = [torch.equal(value, weights[name]) for name, value in runner.model.backbone.named_parameters()]
    assert runner.iter == 2 and len(compared) == 60 + 6 and all(compared)
    part = "aggregator.update_gate.bias"
    torch.save({name: value for name, value in weights.items() if name != part}, tmp_path / "changed.pth")
    changed = runner_of("dpc_finetune_digits", tmp_path / "changed", **named(tmp_path / "changed.pth"))
    refused(changed, f"changed.pth does not fit backbone.*1 missing .{part}", BackboneMismatchError)
    refused(runner_of("dpc_linear_digits", tmp_path / "without"), "needs a pretrained backbone")
    probe = runner_of("dpc_linear_digits", tmp_path / "given", **named(file))
    probe.train()
    for name, value in probe.model.backbone.state_dict().items():  # running statistics too
        assert torch.equal(value, weights[name]), name
