"""The detection recipes: MoCo's protocol, and the weights and inputs of the pretraining."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope

pytest.importorskip("mmdet")
pytest.importorskip("mmpretrain")

from nda_mm.conversion import convert_backbone


def build_part(part: dict[str, Any], scope: str) -> Any:
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(part)


def moco_checkpoint(backbone: dict[str, Any], path: Path) -> dict[str, torch.Tensor]:
    """Save a backbone of random weights as a MoCo run does, and give its weights."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = build_part(backbone, "mmpretrain").state_dict()
    for value in state.values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)  # else fresh batch statistics would equal any others
    torch.save({"meta": {}, "state_dict": OrderedDict((f"backbone.{k}", v) for k, v in state.items())}, path)
    return state


def differing(part: torch.nn.Module, weights: dict[str, torch.Tensor], new: tuple[str, ...] = ()) -> list[str]:
    """Names of a part's weights that are not the given ones, but for those that are new to it."""
    state = {name: value for name, value in part.state_dict().items() if not (new and name.startswith(new))}
    return [name for name, value in state.items() if not torch.equal(value, weights[name])]


class TestMoCosProtocol:
    def test_pretrained_weights_are_taken_and_all_are_trained(self, tmp_path: Path, build: Any) -> None:
        weights, file = moco_checkpoint({"type": "ResNet", "depth": 50}, tmp_path / "moco.pth"), tmp_path / "r50.pth"
        convert_backbone(tmp_path / "moco.pth", file, "mmdet")
        checkpoints = {f"model.{part}.init_cfg.checkpoint": str(file) for part in ("backbone", "roi_head.shared_head")}
        config, model = build("detection_voc_c4", **checkpoints)
        head = model.roi_head.shared_head
        assert len(differing(model.backbone, weights)) > 100
        assert len(differing(head, weights, ("norm.",))) > 30
        model.init_weights()
        assert differing(model.backbone, weights) == []
        assert differing(head, weights, ("norm.",)) == []
        both = set(model.backbone.state_dict()) | {k for k in head.state_dict() if not k.startswith("norm.")}
        assert both == set(weights)  # between them they have every layer
        # Nothing is frozen, and the statistics are those of the batch.
        assert config.model.backbone.norm_cfg.type == config.model.roi_head.shared_head.norm_cfg.type == "SyncBN"
        model = revert_sync_batchnorm(model).train()
        parts = (model.backbone, model.roi_head.shared_head)
        layers = [layer for part in parts for layer in part.modules() if hasattr(layer, "running_mean")]
        assert len(layers) == 53 + 1  # a ResNet-50's, and the extra one
        assert all(layer.training for layer in layers)
        assert all(parameter.requires_grad for part in parts for parameter in part.parameters())
        strides = {b.conv1.stride + b.conv2.stride for part in parts for b in part.modules() if hasattr(b, "conv3")}
        assert strides == {(1, 1, 1, 1), (1, 1, 2, 2)}  # in the 3x3 convolution, as in torchvision

    def test_the_extra_layer_normalises_what_the_fifth_stage_gives(self, read: Any) -> None:
        head = revert_sync_batchnorm(build_part(read("detection_voc_c4").model.roi_head.shared_head, "mmdet"))
        head.train()
        x = torch.rand(3, 1024, 4, 4, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            stage = head.layer4(x)
            out = head(x)
        mean, variance = stage.mean((0, 2, 3), keepdim=True), stage.var((0, 2, 3), unbiased=False, keepdim=True)
        torch.testing.assert_close(out, (stage - mean) / (variance + 1e-5).sqrt(), rtol=1e-3, atol=1e-3)

    def test_inputs_are_those_of_the_stock_pretraining(self, read: Any) -> None:
        """One image through both preprocessors, as both read it: BGR from the file."""
        stock = get_config("mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py")
        pretraining = build_part(stock.data_preprocessor, "mmpretrain")
        image = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        expected = pretraining({"inputs": [image[None]], "data_samples": []}, True)["inputs"][0]
        for name in ("detection_voc_c4", "detection_voc_retinanet", "detection_bccd"):
            detection = build_part(read(name).model.data_preprocessor, "mmdet")
            torch.testing.assert_close(detection({"inputs": [image]}, False)["inputs"], expected)

    def test_the_schedule_and_the_data_are_the_authors(self, read: Any) -> None:
        config = read("detection_voc_c4")
        assert (config.train_cfg.max_iters, config.train_dataloader.batch_size * 8) == (24_000, 16)
        assert config.optim_wrapper.optimizer.lr == 0.02
        warmup, steps = config.param_scheduler
        assert (warmup.type, warmup.end) == ("LinearLR", 100)
        assert (steps.milestones, steps.gamma, steps.end) == ([18_000, 22_000], 0.1, 24_000)
        train = config.train_dataloader.dataset.datasets
        files = [part.ann_file for part in train]
        assert files == [f"{year}/ImageSets/Main/trainval.txt" for year in ("VOC2007", "VOC2012")]
        scales = next(step for part in train for step in part.pipeline if step.type == "RandomChoiceResize").scales
        assert [short for _, short in scales] == list(range(480, 801, 32))
        assert config.test_dataloader.dataset.ann_file == "VOC2007/ImageSets/Main/test.txt"
        assert config.test_evaluator.eval_mode == "11points"


@pytest.mark.parametrize(
    ("detection", "pretraining"), [("detection_digits_scenes", "moco_digits"), ("detection_bccd", "moco_bccd")]
)
def test_a_recipes_own_pretraining_fits_its_backbone_and_its_inputs(
    detection: str, pretraining: str, tmp_path: Path, read: Any, build: Any
) -> None:
    before: Config = read(pretraining)
    weights = moco_checkpoint(before.model.backbone, tmp_path / "moco.pth")
    convert_backbone(tmp_path / "moco.pth", tmp_path / "backbone.pth", "mmdet")
    pretrained = {"type": "Pretrained", "checkpoint": str(tmp_path / "backbone.pth")}
    after, model = build(detection, **{"model.backbone.init_cfg": pretrained})
    model.init_weights()
    assert differing(model.backbone, weights) == []
    assert set(model.backbone.state_dict()) == set(weights)
    for key in ("mean", "std"):
        assert list(before.model.data_preprocessor[key]) == list(after.model.data_preprocessor[key])
    # the pretraining reads RGB, the detector BGR: one of them swaps
    assert (before.model.data_preprocessor.to_rgb, after.model.data_preprocessor.bgr_to_rgb) == (False, True)
