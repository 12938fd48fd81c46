"""MoCo's recipes and their linear probes: the authors' settings, and what belongs together fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from PIL import Image
from torch import nn

pytest.importorskip("mmpretrain")

from tools import train

SETS = ["cifar10", "cifar100", "digits", "imagenet100"]


def test_cifar10_is_the_authors_demo_with_the_head_of_version_2(build: Any) -> None:
    """facebookresearch/moco, colab/moco_cifar10_demo.ipynb."""
    config, model = build("moco_cifar10")
    assert config.optim_wrapper.optimizer == dict(type="SGD", lr=0.06, momentum=0.9, weight_decay=5e-4)
    assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (512, 200)
    assert (model.queue.shape, model.head.temperature) == ((128, 4096), 0.1)
    assert model.encoder_k.momentum == pytest.approx(1 - 0.99)  # mmengine names the other share
    assert [type(layer).__name__ for layer in model.neck.mlp] == ["Linear", "ReLU", "Linear"]
    # torchvision's ResNet-18 has 11,176,512 weights without its classifier; the stem is 3x3 here, not 7x7.
    assert sum(p.numel() for p in model.backbone.parameters()) == 11_176_512 - 64 * 3 * (49 - 9)


def test_the_queue_is_a_multiple_of_the_batch_on_one_to_four_ranks(read: Any) -> None:
    for name in (*SETS, "bccd"):
        config = read(f"moco_{name}")
        assert [n for n in (1, 2, 4) if config.model.queue_len % (n * config.train_dataloader.batch_size)] == [], name


def test_views_of_digits_differ_and_are_normalised_by_the_training_split(build: Any) -> None:
    config, _ = build("moco_digits")
    images = DATASETS.build({**config.train_dataloader.dataset, "pipeline": []}).images
    preprocessor = config.model.data_preprocessor
    assert preprocessor.mean == pytest.approx([images.mean()] * 3, abs=0.1)
    assert preprocessor.std == pytest.approx([images.std()] * 3, abs=0.1)
    views = DATASETS.build(config.train_dataloader.dataset)[0]["inputs"]
    assert [(view.shape, view.dtype) for view in views] == [((3, 32, 32), torch.uint8)] * 2
    assert not torch.equal(*views)


def test_knn_is_of_the_training_split_and_nothing_is_augmented(read: Any) -> None:
    for name in SETS:
        config = read(f"moco_{name}")
        hook = next(hook for hook in config.custom_hooks if hook.type == "nda_mm.KNNHook")
        splits = {key: hook[key].get("split", hook[key].get("data_prefix")) for key in ("bank", "test")}
        assert splits == {"bank": "train", "test": "val" if name == "imagenet100" else "test"}
        assert hook.bank.type == hook.test.type == config.train_dataloader.dataset.type
        assert not [step.type for key in ("bank", "test") for step in hook[key].pipeline if "Random" in step.type]


@pytest.mark.parametrize("name", ["cifar10", "digits", "imagenet100"])
def test_the_probe_has_the_pretrained_network_and_its_inputs(name: str, build: Any) -> None:
    (moco, pretrained), (probe, classifier) = (build(f"{kind}_{name}") for kind in ("moco", "linear"))
    shapes = [
        {key: value.shape for key, value in model.backbone.state_dict().items()} for model in (pretrained, classifier)
    ]
    assert shapes[0] == shapes[1]
    # A model's own preprocessor stands before the one that stock recipes give for all.
    theirs, ours = (each.model.get("data_preprocessor") or each.data_preprocessor for each in (moco, probe))
    assert [theirs[key] for key in ("mean", "std", "to_rgb")] == [ours[key] for key in ("mean", "std", "to_rgb")]
    classifier.train()
    assert not any(module.training for module in classifier.backbone.modules() if isinstance(module, nn.BatchNorm2d))
    assert not any(parameter.requires_grad for parameter in classifier.backbone.parameters())
    assert probe.custom_hooks[0].required is True


@pytest.mark.slow
@pytest.mark.parametrize("classes", [True, False])
def test_a_folder_of_images_is_enough(classes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four steps of the narrow recipe; with class folders the log has the accuracy."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for number in range(16):
        folder = tmp_path / "images" / (("a", "b")[number % 2] if classes else "")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (50, 60, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    options = {
        "train_dataloader.dataset.data_root": tmp_path / "images",
        "train_dataloader.batch_size": 4,
        "train_cfg.max_epochs": 1,
        "custom_hooks.1.k": 3,
        "model.queue_len": 8,
        "model.backbone.base_channels": 4,
        "model.backbone.stem_channels": 4,
        "model.neck.in_channels": 32,
    }
    words = [f"{key}={value}" for key, value in options.items()]
    train.main(["nda_moco_images", "--work-dir", "run", "--cfg-options", *words])
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert ("knn/top1: " in log) == classes
    assert ("no labels" in log) != classes
