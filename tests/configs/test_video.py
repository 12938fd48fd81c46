"""The video recipes: the DPC authors' settings, what belongs together fits, and real video files are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope

pytest.importorskip("mmaction.models")
pytest.importorskip("decord")

from nda_mm.datasets import MovingDigits
from nda_mm.datasets.toy.moving_digits import write_videos

#: What one item is: clips, channels and frames of 224 pixels.
INPUTS = {"tsn_ucf101": (3, 3, 224, 224), "tsm_ucf101": (8, 3, 224, 224), "i3d_ucf101": (1, 3, 32, 224, 224)}


def shapes(module: torch.nn.Module, prefix: str = "") -> dict[str, torch.Size]:
    """Shapes of the weights below a prefix, named without it; DPC's predictor is not handed on."""
    state = {key: value.shape for key, value in module.state_dict().items() if not key.startswith("predictor.")}
    return {key.removeprefix(prefix): shape for key, shape in state.items() if key.startswith(prefix)}


class TestDPC:
    @pytest.mark.parametrize("name", ["ucf101", "k400"])
    def test_pretraining_is_the_authors(self, name: str, build: Any) -> None:
        config, model = build(f"dpc_{name}")
        assert sum(p.numel() for p in model.backbone.parameters()) == 14_057_536
        assert sum(p.numel() for p in model.aggregator.parameters()) == 3 * (512 * 256 + 256)
        assert (model.num_blocks, model.pred_steps, model.negative, model.temperature) == (8, 3, None, 1.0)
        assert config.optim_wrapper.optimizer == dict(type="Adam", lr=1e-3, weight_decay=1e-5)
        assert (config.train_dataloader.batch_size, config.train_cfg.max_epochs) == (128, 300)
        steps = {step.type: step for step in config.train_dataloader.dataset.pipeline}
        sample = steps["nda_mm.SampleBlocks"]
        assert (sample.num_blocks, sample.block_len, sample.frame_interval) == (8, 5, 5 if name == "k400" else 3)
        assert steps["Resize"].scale == (128, 128)  # the last one
        assert steps["nda_mm.RandomFrameGrey"].prob == 0.5

    @pytest.mark.parametrize(("name", "classes"), [("ucf101", 101), ("digits", 8)])
    def test_classifiers_have_the_pretrained_encoder_and_its_inputs(self, name: str, classes: int, build: Any) -> None:
        (dpc, pretrained), (tune, tuned), (alone, single), (probe, frozen) = (
            build(f"{kind}_{name}") for kind in ("dpc", "dpc_finetune", "resnet2d3d", "dpc_linear")
        )
        assert shapes(tuned.backbone) == shapes(frozen.backbone) == shapes(pretrained)
        assert shapes(single.backbone) == shapes(pretrained, "backbone.")
        for key in ("mean", "std", "format_shape"):
            assert len({str(each.model.data_preprocessor[key]) for each in (dpc, tune, alone, probe)}) == 1
        blocks = next(step for step in dpc.train_dataloader.dataset.pipeline if step.type == "nda_mm.SampleBlocks")
        for config in (tune, alone, probe):
            loaders = [config[f"{split}_dataloader"] for split in ("train", "val", "test")]
            samples = [next(s for s in each.dataset.pipeline if s.type == "SampleFrames") for each in loaders]
            assert {each.clip_len for each in samples} == {blocks.num_blocks * blocks.block_len}
            assert {each.frame_interval for each in samples} == {blocks.frame_interval}
            assert samples[2].num_clips >= 3 and samples[2].test_mode
        assert {model.cls_head.num_classes for model in (tuned, single, frozen)} == {classes}
        # The probe trains its head alone.
        frozen.train()
        trained = [key for key, parameter in frozen.named_parameters() if parameter.requires_grad]
        assert trained == [f"cls_head.{key}" for key in ("norm.weight", "norm.bias", "fc_cls.weight", "fc_cls.bias")]
        assert not any(module.training for module in frozen.backbone.modules())
        assert probe.custom_hooks[0].required is True

    @pytest.mark.parametrize(("name", "milestones"), [("ucf101", [60, 80]), ("hmdb51", [150, 250])])
    def test_fine_tuning_is_the_authors(self, name: str, milestones: list[int], build: Any) -> None:
        config, model = build(f"dpc_finetune_{name}")
        assert config.optim_wrapper.optimizer == dict(type="Adam", lr=1e-3, weight_decay=1e-3)
        assert config.optim_wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=0.1))
        assert (config.train_dataloader.batch_size, config.param_scheduler.milestones) == (128, milestones)
        assert [type(layer).__name__ for layer in model.cls_head.children()][1:] == ["BatchNorm1d", "Dropout", "Linear"]
        assert model.cls_head.dropout.p == 0.5


@pytest.fixture(scope="module")
def ucf101(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips in data/ucf101's layout; what they show does not matter here."""
    folder = tmp_path_factory.mktemp("videos") / "data" / "ucf101"
    for split, theirs in (("train", "train"), ("test", "val")):
        clips = MovingDigits(split, num_clips=4, num_frames=70, size=96, cache=False)
        write_videos(clips, folder / "videos").rename(folder / f"ucf101_{theirs}_split_1_videos.txt")
    return folder.parents[1]


class TestVideoFiles:
    """The clips have 70 frames, so a window of DPC's 8 blocks of 5, which spans 118, starts over."""

    @pytest.mark.parametrize("recipe", INPUTS)
    def test_recognisers(self, recipe: str, ucf101: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
        config = read(recipe)
        monkeypatch.chdir(ucf101)
        # As MoCo was trained on ImageNet in mmpretrain: RGB, which decord gives, with these.
        preprocessor = config.model.data_preprocessor
        assert (preprocessor.mean, preprocessor.std) == ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
        assert not preprocessor.get("to_rgb", False)
        with DefaultScope.overwrite_default_scope("mmaction"):
            for loader in (config.train_dataloader, config.val_dataloader):
                dataset = DATASETS.build(loader.dataset)
                assert len(dataset) == 4
                assert tuple(dataset[1]["inputs"].shape) == INPUTS[recipe]
                assert dataset[3]["data_samples"].gt_label.tolist() == [3]

    def test_blocks_follow_each_other(self, ucf101: Path, monkeypatch: pytest.MonkeyPatch, read: Any) -> None:
        monkeypatch.chdir(ucf101)
        config = read("nda_dpc_ucf101")
        with DefaultScope.overwrite_default_scope("mmaction"):
            item = DATASETS.build(config.train_dataloader.dataset)[1]
            assert (item["inputs"].shape, item["inputs"].dtype) == ((8, 3, 5, 128, 128), torch.uint8)
            # Without augmentation, a block is the frames of the clip as one clip of 40 frames has them.
            random = ("Random", "Jitter", "Flip")
            plain = [step for step in config.train_pipeline if not any(word in step.type for word in random)]
            blocks = DATASETS.build({**config.train_dataloader.dataset, "pipeline": plain})[1]["inputs"]
            frames = dict(type="SampleFrames", clip_len=40, frame_interval=3, num_clips=1, test_mode=True)
            whole = DATASETS.build({**config.train_dataloader.dataset, "pipeline": [plain[0], frames, *plain[2:]]})
            clip = whole[1]["inputs"]
        assert torch.equal(blocks.transpose(0, 1).flatten(1, 2), clip[0])


@pytest.mark.slow
def test_dpc_trains_on_video_files_and_hands_its_encoder_on(
    ucf101: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Any, small_runner: Any
) -> None:
    """Whole but for width, batch and length: two steps each."""
    monkeypatch.chdir(ucf101)
    short = {"train_dataloader.batch_size": 2, "train_cfg.max_epochs": 1, "default_hooks.checkpoint.interval": 1}
    narrow = {"backbone.base_channels": 4, "aggregator.in_channels": 16}
    options: dict[str, Any] = {f"model.{key}": value for key, value in narrow.items()}
    small_runner(read("nda_dpc_ucf101"), tmp_path / "dpc", **short, **options).train()
    options = {f"model.backbone.{key}": value for key, value in narrow.items()}
    options["model.backbone.init_cfg"] = {"type": "Pretrained", "checkpoint": str(tmp_path / "dpc" / "epoch_1.pth")}
    options |= {"model.cls_head.in_channels": 16, "train_cfg.val_interval": 1}
    options |= {"val_dataloader.batch_size": 2, "test_dataloader.batch_size": 2}
    runner = small_runner(read("dpc_finetune_ucf101"), tmp_path / "tuned", **short, **options)
    runner.train()
    assert runner.iter == 2
    assert 0 <= runner.message_hub.get_scalar("val/acc/top1").current() <= 1
    assert 0 <= runner.test()["acc/top1"] <= 1  # the mean over ten clips
