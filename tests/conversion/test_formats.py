"""Checkpoints of every format, the self-supervised ones from mmpretrain's own models."""

from __future__ import annotations

from pathlib import Path

import mmpretrain
import pytest
import tiny_backbones as tiny
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from nda_mm.conversion.formats import find_backbone

RECIPES = Path(mmpretrain.__file__).parent / ".mim" / "configs"
SELF_SUPERVISED = {
    "mocov2": "mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py",
    "mocov3": "mocov3/mocov3_resnet50_8xb512-amp-coslr-100e_in1k.py",
}


@pytest.fixture(scope="module")
def resnet18():
    return {k: v for k, v in tiny.randomize(tiny.build("torchvision", 18)).state_dict().items() if "fc." not in k}


@pytest.mark.parametrize(("method", "wrapper"), [("mocov2", "module._orig_mod."), ("mocov3", "")])
def test_both_encoders_of_mmpretrains_models_are_found(method, wrapper):
    cfg = Config.fromfile(RECIPES / SELF_SUPERVISED[method]).model
    cfg.backbone.depth = 18
    cfg.neck.in_channels = 512
    if "queue_len" in cfg:
        cfg.queue_len = 64
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(cfg)
    encoder_k = model.momentum_encoder if method == "mocov3" else model.encoder_k
    tiny.randomize(encoder_k.module[0], seed=5)  # they are equal at the start
    checkpoint = {"state_dict": {wrapper + name: value for name, value in model.state_dict().items()}}
    for encoder, part in (("query", model.backbone), ("key", encoder_k.module[0])):
        found = find_backbone(checkpoint, encoder)
        assert found.format == "OpenMMLab model"
        assert found.weights.keys() == part.state_dict().keys()
        assert all(torch.equal(found.weights[name], value) for name, value in part.state_dict().items())
        assert len(found.weights) + len(found.dropped) == len(model.state_dict())


@pytest.mark.parametrize(
    ("name", "query", "key"),
    [
        ("facebookresearch/moco", "module.encoder_q.", "module.encoder_k."),
        ("facebookresearch/moco-v3", "module.base_encoder.", "module.momentum_encoder."),
    ],
)
def test_both_encoders_of_the_published_formats_are_found(resnet18, name, query, key):
    # as those repositories' main_moco.py writes them: arch, epoch, state_dict of the DDP model, optimizer
    weights = {f"{query}{n}": v for n, v in resnet18.items()} | {f"{key}{n}": v + 1 for n, v in resnet18.items()}
    weights |= {f"{prefix}fc.{i}.{w}": torch.zeros(3) for prefix in (query, key) for i in (0, 2) for w in ("weight",)}
    weights |= {"module.queue": torch.zeros(4, 8), "module.queue_ptr": torch.zeros(1)}
    checkpoint = {"epoch": 200, "arch": "resnet18", "state_dict": weights, "optimizer": {}}
    for encoder, offset in (("query", 0), ("key", 1)):
        found = find_backbone(checkpoint, encoder)
        assert found.format == name
        assert found.weights.keys() == resnet18.keys()
        assert all(torch.equal(found.weights[n], v + offset) for n, v in resnet18.items())
        assert sum(".fc." in n for n in found.dropped) == 4
        assert {"queue", "queue_ptr"} < set(found.dropped)


@pytest.mark.parametrize("inside", [None, "model"])
def test_plain_files_are_found_wherever_the_weights_are(resnet18, inside):
    weights = {**resnet18, "fc.weight": torch.zeros(2), "fc.bias": torch.zeros(2)}
    found = find_backbone(weights if inside is None else {inside: weights, "epoch": 1})
    assert (found.format, found.prefix) == ("plain backbone", "")
    assert found.weights.keys() == resnet18.keys()
    assert found.dropped == ["fc.weight", "fc.bias"]


def test_what_is_not_there_is_said(resnet18):
    backbone = {f"backbone.{n}": v for n, v in resnet18.items()}
    for checkpoint, encoder, message in (
        (backbone, "key", "a.pth .OpenMMLab model. has no key encoder"),
        ({"generator.conv.weight": torch.zeros(1), "ema": torch.zeros(1)}, "query", "begin with generator.conv, ema"),
        ([1, 2], "query", "a.pth holds no weights"),
        (resnet18, "teacher", "encoder must be .*'teacher'"),
    ):
        with pytest.raises(ValueError, match=message):
            find_backbone(checkpoint, encoder, "a.pth")
