"""A backbone that is only half loaded is refused, in real runs of mmpretrain's classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmpretrain")

import tiny_selfsup
from mmpretrain.models import ResNet_CIFAR
from tiny_selfsup import images, make_config

from nda_mm.conversion import PretrainedCheckHook


def probe(work_dir: Path, checkpoint: str, hook: dict[str, Any] | None = None, **backbone: Any) -> dict[str, Any]:
    """The config of a linear probe of two epochs, as _base_/linear_probe.py has it."""
    config = make_config(
        work_dir,
        custom_hooks=(dict(type="nda_mm.PretrainedCheckHook", **({"required": True} if hook is None else hook)),),
    )
    config["model"] = dict(
        type="ImageClassifier",
        data_preprocessor=dict(type="ClsDataPreprocessor", num_classes=7, mean=[127.5] * 3, std=[60.0] * 3),
        backbone=dict(
            **{
                **dict(type="ResNet_CIFAR", depth=18, stem_channels=4, base_channels=4, frozen_stages=4),
                "init_cfg": dict(type="Pretrained", checkpoint=checkpoint, prefix="backbone."),
                **backbone,
            }
        ),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=7, in_channels=32, loss=dict(type="CrossEntropyLoss")),
    )
    config["train_dataloader"]["dataset"] = images()
    return config


@pytest.fixture(scope="module")
def moco(tmp_path_factory) -> str:
    """A checkpoint of a small MoCo."""
    folder = tmp_path_factory.mktemp("moco")
    tiny_selfsup.train(make_config(folder, steps=1, checkpoint=dict(interval=1)))
    return str(folder / "epoch_1.pth")


def backbone_of(checkpoint: str) -> dict[str, torch.Tensor]:
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    return {name.removeprefix("backbone."): value for name, value in weights.items() if name.startswith("backbone.")}


def test_a_linear_probe_takes_the_backbone_and_trains_the_head_alone(moco, tmp_path):
    """Weights and running statistics are MoCo's, bit for bit, after two epochs of training."""
    runner = tiny_selfsup.train(probe(tmp_path, moco))
    expected, found = backbone_of(moco), runner.model.backbone.state_dict()
    assert expected.keys() == found.keys()
    assert [name for name, value in expected.items() if not torch.equal(value, found[name])] == []
    assert runner.iter == 12
    assert all(
        runner.optim_wrapper.optimizer.state[parameter]["momentum_buffer"].abs().max() > 0
        for parameter in runner.model.head.parameters()
    )
    assert not any(parameter.requires_grad for parameter in runner.model.backbone.parameters())


def refused(config: dict[str, Any], message: str, error: type[Exception] = ValueError) -> None:
    runner = tiny_selfsup.build(config)
    with pytest.raises(error, match=message):
        runner.train()
    assert runner.iter == 0


def test_what_does_not_fit_is_refused_before_training(moco, tmp_path):
    refused(probe(tmp_path, ""), r"--cfg-options model\.backbone\.init_cfg\.checkpoint")
    damaged = tmp_path / "damaged.pth"
    damaged.write_bytes(Path(moco).read_bytes()[:5000])
    refused(probe(tmp_path, str(damaged)), r"damaged\.pth")
    refused(probe(tmp_path, moco, base_channels=8), r"does not fit backbone .* of another shape \(layer1.0.conv1")
    three = dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,), frozen_stages=3)
    refused(probe(tmp_path, moco, **three), r"unexpected \(layer4.0")
    without_prefix = dict(type="Pretrained", checkpoint=moco)
    refused(probe(tmp_path, moco, init_cfg=without_prefix), r"prefix None.*unexpected .*backbone\.")
    refused(probe(tmp_path, moco, dict(module="trunk")), "ImageClassifier has no part 'trunk'")
    with pytest.raises(TypeError, match="ignore must be a list"):
        PretrainedCheckHook(ignore="fc.")


def test_plain_weights_fit_and_counters_may_be_absent(moco, tmp_path):
    weights = {name: value for name, value in backbone_of(moco).items() if "num_batches" not in name}
    torch.save({**weights, "fc.weight": torch.zeros(2, 2)}, tmp_path / "plain.pth")
    init_cfg = dict(type="Pretrained", checkpoint=str(tmp_path / "plain.pth"))
    refused(probe(tmp_path, "", init_cfg=init_cfg), r"1 unexpected \(fc.weight\)")
    runner = tiny_selfsup.train(probe(tmp_path, "", dict(ignore=["fc."]), init_cfg=init_cfg))
    found = runner.model.backbone.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in weights.items())


def test_weights_that_are_initialised_again_are_noticed(moco, tmp_path, monkeypatch):
    load = ResNet_CIFAR.init_weights

    def init_weights(self):
        load(self)
        torch.nn.init.zeros_(self.layer3[0].conv1.weight)

    monkeypatch.setattr(ResNet_CIFAR, "init_weights", init_weights)
    refused(probe(tmp_path, moco), r"does not hold .*1 of .* differ \(layer3.0.conv1.weight")


def test_a_resumed_run_needs_the_checkpoint_no_more(moco, tmp_path):
    config = probe(tmp_path / "run", moco)
    config["default_hooks"]["checkpoint"]["interval"] = 1
    config["train_cfg"]["max_epochs"] = 1
    tiny_selfsup.train(config)
    config["train_cfg"]["max_epochs"] = 2
    config["model"]["backbone"]["init_cfg"] = None
    runner = tiny_selfsup.train(config, resume=True)
    assert runner.iter == 12
    found = runner.model.backbone.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in backbone_of(moco).items())
