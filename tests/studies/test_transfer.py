"""Transfer studies: where backbones go, what runs are started, what the report says, and a real one of a toy size."""

from __future__ import annotations

import csv
import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from small_jobs import FAILS

pytest.importorskip("mmpretrain")
pytest.importorskip("mmdet")
pytest.importorskip("mmaction")

from nda_mm.checkpoints import read_checkpoint
from nda_mm.studies.jobs import resolve
from nda_mm.studies.transfer import NO_PRETRAINING, TransferStudy, compare_arms, find_slot
from nda_mm.utils.files import recipe_path

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = PROJECT / "configs"
TRAIN = [sys.executable, str(PROJECT / "tools" / "train.py")]
WIDTH = "model.backbone.base_channels=4", "model.backbone.stem_channels=4"


def config(name: str) -> str:
    return str(recipe_path(name))


FULL_RATE = "optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0"


def given(*parts: str) -> tuple[str, ...]:
    """The words that name a file for parts of a model."""
    return tuple(f"model.{part}.init_cfg.{word}" for part in parts for word in ("type=Pretrained", "checkpoint=F"))


@pytest.mark.parametrize(
    ("name", "host", "required", "with_file", "without"),
    [
        ("linear_digits", None, True, ("model.backbone.init_cfg.checkpoint=F",), ()),
        ("detection_digits_scenes", "mmpretrain", False, given("backbone"), ()),
        (
            "detection_voc_c4",
            "mmdet",
            True,
            given("backbone", "roi_head.shared_head"),
            ("model.backbone.init_cfg=None", "model.roi_head.shared_head.init_cfg=None"),
        ),
        (
            "tsm_ucf101",
            "mmpretrain",
            False,
            ("model.backbone.pretrained=F",),
            ("model.backbone.pretrained=None", "model.backbone.pretrained2d=False"),
        ),
        # DPC's encoder takes the checkpoint itself, its backbone alone a converted file.
        ("dpc_finetune_ucf101", None, False, given("backbone"), (FULL_RATE,)),
        ("resnet2d3d_ucf101", "mmaction2", False, given("backbone"), (FULL_RATE,)),
    ],
)
def test_where_our_recipes_take_a_backbone(name, host, required, with_file, without):
    recipe = config(name)
    slot = find_slot(resolve(recipe), name)
    assert (slot.host, slot.required, slot.whole) == (host, required, name.startswith("dpc"))
    assert (slot.options(Path("F")), slot.options(None)) == (with_file, without)
    assert "F" in str(resolve(recipe, slot.options(Path("F"))).model.backbone.to_dict())  # mmengine can merge them
    assert "checkpoint='F'" not in str(resolve(recipe, slot.options(None)).model.backbone.to_dict())


def test_every_probe_and_detector_takes_one():
    for path in [*CONFIGS.glob("linear/*.py"), *CONFIGS.glob("detection/*.py"), *CONFIGS.glob("dpc/dpc_[fl]*.py")]:
        find_slot(resolve(str(path)), path.stem)


@pytest.mark.parametrize(
    ("name", "option", "message"),
    [
        ("linear_digits", "default_scope=mmagic", "no pretrained backbone"),
        ("linear_digits", "custom_hooks=[]", "would train on random weights"),
        ("detection_digits_scenes", "model.backbone.init_cfg=[]", "init_cfg"),
    ],
)
def test_a_recipe_that_takes_none_is_refused(name, option, message):
    with pytest.raises(ValueError, match=message):
        find_slot(resolve(config(name), [option]), name)


def study(folder: Path, **settings: Any) -> TransferStudy:
    defaults: dict[str, Any] = dict(
        pretraining=[config("moco_digits"), config("nda_moco_digits")],
        downstream=[config("linear_digits"), config("detection_digits_scenes")],
        seeds=[3, 1],
        train_command=FAILS,
    )
    return TransferStudy(folder=folder, **{**defaults, **settings})


def test_runs_come_seed_by_seed_and_arm_by_arm_and_a_study_of_nothing_is_refused(tmp_path: Path) -> None:
    arms = [NO_PRETRAINING, "moco_digits", "nda_moco_digits"]
    expected = product((3, 1), ("linear_digits", "detection_digits_scenes"), arms)
    runs = study(tmp_path, scratch=True).runs
    assert [(run.seed, run.name, run.arm) for run in runs] == list(expected)
    assert runs[1].folder == tmp_path / "downstream" / "linear_digits" / "moco_digits" / "seed_3"

    with pytest.raises(ValueError, match="recipes"):
        study(tmp_path, downstream=[])


def test_changed_downstream_settings_are_refused_before_anything_is_trained(tmp_path: Path) -> None:
    folder = tmp_path / "downstream" / "linear_digits" / "moco_digits" / "seed_1"
    folder.mkdir(parents=True)
    (folder / "started.json").write_text(json.dumps(dict(course="another", weights="x")))
    with pytest.raises(ValueError, match="run of linear_digits after moco_digits, seed 1 .*course"):
        study(tmp_path).train()
    assert not (tmp_path / "pretrain").exists()


def test_what_fails_is_named_and_what_needs_it_is_not_started(tmp_path: Path) -> None:
    broken = study(
        tmp_path,
        pretraining=[config("moco_digits")],
        downstream=[config("detection_digits_scenes")],
        seeds=[1],
        scratch=True,
    )
    failures = broken.train()
    output = tmp_path / "downstream" / "detection_digits_scenes" / NO_PRETRAINING / "seed_1" / "output.txt"
    assert output.is_file()  # it needs no pretraining and was tried
    assert failures == [
        f"moco_digits, seed 1: see {tmp_path}/pretrain/moco_digits/seed_1/output.txt",
        "detection_digits_scenes after moco_digits, seed 1: not started, because its pretraining failed",
        f"detection_digits_scenes after {NO_PRETRAINING}, seed 1: see {output}",
    ]
    text = broken.report()
    assert all(f"- {failure}\n" in text for failure in failures)
    assert "No run has measured anything." in text


@pytest.mark.slow
def test_dpc_hands_on_its_whole_encoder(tmp_path: Path) -> None:
    """To a probe, which requires a checkpoint: without pretraining one of random weights."""
    probe = config("dpc_linear_digits")
    dpc = study(tmp_path, pretraining=[config("dpc_digits")], downstream=[probe], scratch=True)
    file, _ = dpc.backbone(dpc.runs[0])
    assert file is not None
    given = torch.load(file, weights_only=True)["state_dict"]
    settings = resolve(probe, dpc.slots[probe].options(file)).model.backbone
    with DefaultScope.overwrite_default_scope("mmaction"):
        encoder = MODELS.build(settings)
    encoder.init_weights()
    own = encoder.state_dict()
    assert set(own) == {name for name in given if not name.startswith("predictor.")}
    assert [name for name, value in own.items() if not torch.equal(value, given[name])] == []


def test_the_untrained_network_is_the_one_that_pretraining_starts_from(tmp_path: Path) -> None:
    from mmengine.runner import Runner

    from nda_mm.conversion.checks import write_untrained

    recipe = resolve(config("moco_digits"), WIDTH)
    recipe.model.neck.in_channels = 32
    torch.manual_seed(77)
    before = torch.get_rng_state()
    write_untrained(recipe, 5, tmp_path / "untrained.pth")
    assert torch.equal(torch.get_rng_state(), before)
    recipe.work_dir, recipe.randomness = str(tmp_path / "run"), dict(seed=5)
    runner = Runner.from_cfg(recipe)
    runner._init_model_weights()
    expected = {n: v for n, v in runner.model.state_dict().items() if n.startswith("backbone.")}
    saved = torch.load(tmp_path / "untrained.pth", weights_only=True)["state_dict"]
    assert len(expected) > 100
    assert all(torch.equal(saved[name], value) for name, value in expected.items())


def test_an_earlier_evaluation_does_not_replace_the_last() -> None:
    rows = [("a", 0, "mAP", 5, 0.1), ("b", 0, "mAP", 5, 0.1), ("b", 0, "mAP", 10, 0.3)]
    text = compare_arms(pd.DataFrame(rows, columns=["arm", "seed", "metric", "step", "value"]), ["a", "b"], [0])
    assert "- mAP of a, seed 0" in text and "| mAP | a |" not in text and "| mAP | b | 0.3 |" in text


TOY = {
    "tiny_moco": """
_base_ = "{configs}/mocov2/nda_moco_digits.py"
model = dict(queue_len=32, backbone=dict(base_channels=4, stem_channels=4), neck=dict(in_channels=32))
train_dataloader = dict(batch_size=16, dataset=dict(every=16))
custom_hooks = [*_base_.custom_hooks[:1], dict(_base_.knn, interval=1), *_base_.custom_hooks[2:]]
custom_hooks[1]["bank"]["every"] = custom_hooks[1]["test"]["every"] = 8
train_cfg = dict(max_epochs=1)
""",
    "tiny_probe": """
_base_ = "{configs}/linear/linear_digits.py"
model = dict(backbone=dict(base_channels=4, stem_channels=4), head=dict(in_channels=32))
train_dataloader = dict(dataset=dict(every=8))
val_dataloader = dict(dataset=dict(every=8))
train_cfg = dict(max_epochs=1, val_interval=1)
""",
    "tiny_scenes": """
_base_ = "{configs}/detection/detection_digits_scenes.py"
model = dict(
    backbone=dict(base_channels=4, stem_channels=4), neck=dict(in_channels=[16, 32]), test_cfg=dict(score_thr=1.0)
)
scenes = dict(data_root="{folder}/scenes", scenes=dict(train=8, test=3))
train_dataloader = dict(dataset=dict(**scenes))
val_dataloader = dict(dataset=dict(**scenes))
param_scheduler = dict(total_steps=1)
train_cfg = dict(max_epochs=1, val_interval=1)
""",
}


def backbone_of(folder: Path) -> dict[str, torch.Tensor]:
    """Weights of the backbone in the checkpoint of a folder's one epoch."""
    state = read_checkpoint(folder / "epoch_1.pth")["state_dict"]
    return {name: value for name, value in state.items() if name.startswith("backbone.")}


@pytest.mark.slow
def test_a_study_of_a_toy_size(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    for name, text in TOY.items():
        (tmp_path / f"{name}.py").write_text(text.format(configs=CONFIGS, folder=tmp_path))
    files = {name: str(tmp_path / f"{name}.py") for name in TOY}
    settings: dict[str, Any] = dict(
        pretraining=[files["tiny_moco"]],
        downstream=[files["tiny_probe"], files["tiny_scenes"]],
        seeds=[1],
        scratch=True,
        train_command=TRAIN,
    )
    out = tmp_path / "out"
    first = study(out, **settings)
    assert first.train(jobs=2) == []
    text = first.report()
    assert capsys.readouterr().out.count("training (output in") == 5

    # The probe's backbone is frozen, so it still has the weights that it was given.
    trained = backbone_of(out / "pretrain" / "tiny_moco" / "seed_1")
    probe = out / "downstream" / "tiny_probe"
    assert all(torch.equal(trained[n], v) for n, v in backbone_of(probe / "tiny_moco" / "seed_1").items())
    untrained = torch.load(out / "backbones" / "no_pretraining_seed_1.pth", weights_only=True)["state_dict"]
    random = backbone_of(probe / NO_PRETRAINING / "seed_1")
    assert len(random) > 100 and all(torch.equal(untrained[name], value) for name, value in random.items())
    scenes = {arm: out / "downstream" / "tiny_scenes" / arm / "seed_1" for arm in (NO_PRETRAINING, "tiny_moco")}
    assert "tiny_moco_seed_1.pth" in (scenes["tiny_moco"] / "tiny_scenes.py").read_text()
    assert "checkpoint='" not in (scenes[NO_PRETRAINING] / "tiny_scenes.py").read_text()

    assert "no_pretraining: random weights, namely those of the tiny_moco model before its first step." in text
    assert "no_pretraining: trained from scratch" in text
    assert "Paired differences from no_pretraining" in text
    assert "No run has measured anything." in text  # no detection has a score of 1, so mmdet gives no mAP
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["recipe"], row["arm"], row["metric"]) for row in rows if row["metric"] != "knn/top5"} == {
        ("pretraining", "tiny_moco", "knn/top1"),
        ("tiny_probe", NO_PRETRAINING, "accuracy/top1"),
        ("tiny_probe", "tiny_moco", "accuracy/top1"),
    }

    again = study(out, **settings)
    assert again.train() == []
    assert again.report() == text
    assert "training" not in capsys.readouterr().out

    # Another backbone under a finished run is noticed.
    file = out / "pretrain" / "tiny_moco" / "seed_1" / "epoch_1.pth"
    checkpoint = torch.load(file, weights_only=True)
    checkpoint["state_dict"]["backbone.conv1.weight"] += 1
    torch.save(checkpoint, file)
    with pytest.raises(ValueError, match="run of tiny_probe after tiny_moco, seed 1 .*weights"):
        again.train()
