"""Transfer studies: where backbones go, what runs are started, what the report says, and a real one of a toy size."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
import torch

pytest.importorskip("mmpretrain")
pytest.importorskip("mmdet")

from nda_mm.checkpoints import read_checkpoint
from nda_mm.studies.pretrained_place import find_place
from nda_mm.studies.training_jobs import resolve
from nda_mm.studies.transfer_report import Outcome, report_outcomes
from nda_mm.studies.transfer_study import NO_PRETRAINING, TransferStudy
from nda_mm.utils.files import recipe_path

PROJECT = Path(__file__).resolve().parents[2]
CONFIGS = PROJECT / "configs"
TRAIN = [sys.executable, str(PROJECT / "tools" / "train.py")]
WIDTH = "model.backbone.base_channels=4", "model.backbone.stem_channels=4"


def config(name: str) -> str:
    return str(recipe_path(f"{name}.py"))


def study(folder: Path, **settings: Any) -> TransferStudy:
    defaults: dict[str, Any] = dict(
        pretraining=[config("moco_digits"), config("nda_moco_digits")],
        downstream=[config("linear_digits"), config("detection_digits_scenes")],
        seeds=[3, 1],
        train_command=[sys.executable, "-c", "raise SystemExit(3)"],
    )
    return TransferStudy(folder=folder, **{**defaults, **settings})


class TestWhereABackboneGoes:
    """The words are those of the recipes' header comments."""

    @pytest.mark.parametrize(
        ("name", "host", "given", "none", "required"),
        [
            ("linear_digits", None, ["backbone.init_cfg.checkpoint=F"], [], True),
            ("linear_imagenet100", None, ["backbone.init_cfg.checkpoint=F"], [], True),
            (
                "detection_digits_scenes",
                "mmpretrain",  # its backbone is mmpretrain's
                ["backbone.init_cfg.type=Pretrained", "backbone.init_cfg.checkpoint=F"],
                [],
                False,
            ),
            (
                "detection_voc_c4",
                "mmdet",
                [
                    "backbone.init_cfg.type=Pretrained",
                    "backbone.init_cfg.checkpoint=F",
                    "roi_head.shared_head.init_cfg.type=Pretrained",
                    "roi_head.shared_head.init_cfg.checkpoint=F",
                ],
                ["backbone.init_cfg=None", "roi_head.shared_head.init_cfg=None"],
                True,
            ),
            (
                "tsm_digits",
                "mmpretrain",
                ["backbone.net.init_cfg.type=Pretrained", "backbone.net.init_cfg.checkpoint=F"],
                [],
                False,
            ),
            ("i3d_digits", "mmpretrain", ["backbone.pretrained=F"], ["backbone.pretrained=None"], False),
            (
                "tsm_ucf101",
                "mmpretrain",
                ["backbone.pretrained=F"],
                ["backbone.pretrained=None", "backbone.pretrained2d=False"],
                False,
            ),
        ],
    )
    def test_of_our_recipes(
        self, name: str, host: str | None, given: list[str], none: list[str], required: bool
    ) -> None:
        if ("digits" not in name and not name.startswith(("linear", "detection"))) or name == "i3d_digits":
            pytest.importorskip("mmaction")
        place = find_place(resolve(config(name), []), name)
        assert (place.host, place.required) == (host, required)
        assert place.options(Path("F")) == tuple(f"model.{each}" for each in given)
        assert place.options(None) == tuple(f"model.{each}" for each in none)
        told = resolve(config(name), place.options(Path("F")))  # mmengine can merge them
        assert "F" in str(told.model.backbone.to_dict())
        resolve(config(name), place.options(None))

    def test_dpcs_encoder_takes_the_checkpoint_itself_and_is_trained_at_the_full_rate_without(self) -> None:
        pytest.importorskip("mmaction")
        for name, required in (("dpc_finetune_ucf101", False), ("dpc_linear_digits", True)):
            place = find_place(resolve(config(name), []), name)
            assert (place.host, place.whole, place.required) == (None, True, required)
            told = resolve(config(name), place.options(Path("F"))).model.backbone
            assert told.init_cfg == dict(type="Pretrained", checkpoint="F")
        name = "dpc_finetune_ucf101"
        untold = resolve(config(name), find_place(resolve(config(name), []), name).options(None))
        assert untold.optim_wrapper.paramwise_cfg.custom_keys == dict(backbone=dict(lr_mult=1.0))
        assert untold.model.backbone.get("init_cfg") is None

    def test_dpcs_backbone_alone_takes_a_converted_file(self) -> None:
        pytest.importorskip("mmaction")
        place = find_place(resolve(config("resnet2d3d_ucf101"), []), "resnet2d3d_ucf101")
        assert (place.host, place.whole, place.required) == ("mmaction2", False, False)
        assert place.options(Path("F")) == (
            "model.backbone.init_cfg.type=Pretrained",
            "model.backbone.init_cfg.checkpoint=F",
        )
        assert place.options(None) == ("optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0",)

    def test_every_probe_and_detector_has_a_place(self) -> None:
        for path in [*CONFIGS.glob("linear/*.py"), *CONFIGS.glob("detection/*.py"), *CONFIGS.glob("dpc/dpc_[fl]*.py")]:
            find_place(resolve(str(path), []), path.stem)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["default_scope=mmagic"], r"no place for a pretrained backbone.*has the scope 'mmagic'"),
            (["custom_hooks=[]"], r"would train on random weights.*type='nda_mm.PretrainedCheckHook'"),
            (["model.backbone.init_cfg.prefix=net."], r"no place .*prefix='backbone.'.*'net.'"),
            (["model.backbone.init_cfg=None"], r"no place .*but is None"),
        ],
    )
    def test_a_recipe_without_a_place_is_refused(self, options: list[str], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            find_place(resolve(config("linear_digits"), options), "linear_digits")

    def test_initialisations_of_a_detector_that_cannot_be_replaced_are_refused(self) -> None:
        name = "detection_digits_scenes"
        with pytest.raises(ValueError, match=r"model.backbone.init_cfg=\[\] can't be turned into"):
            find_place(resolve(config(name), ["model.backbone.init_cfg=[]"]), name)


class TestTheRunsOfAStudy:
    def test_they_come_seed_by_seed_and_arm_by_arm(self, tmp_path: Path) -> None:
        runs = study(tmp_path, scratch=True).runs
        arms = [NO_PRETRAINING, "moco_digits", "nda_moco_digits"]
        assert [(run.seed, run.name, run.arm) for run in runs] == [
            (seed, name, arm)
            for seed in (3, 1)
            for name in ("linear_digits", "detection_digits_scenes")
            for arm in arms
        ]
        assert runs[1].folder == tmp_path / "downstream" / "linear_digits" / "moco_digits" / "seed_3"
        assert study(tmp_path).arms == arms[1:]

    def test_bad_use_is_refused(self, tmp_path: Path) -> None:
        for settings, message in (
            (dict(downstream=[]), r"downstream recipes must be given .*got \[\]"),
            (
                dict(downstream=[config("linear_digits")] * 2),
                r"different file names.*\['linear_digits', 'linear_digits'\]",
            ),
            (dict(seeds=[1, 1]), r"seeds must be given and differ, but got \[1, 1\]"),
            (dict(downstream=[config("moco_digits")]), "moco_digits.py would train on random weights"),
        ):
            with pytest.raises(ValueError, match=message):
                study(tmp_path, **settings)
        with pytest.raises(ValueError, match="jobs must be at least 1, but got 0"):
            study(tmp_path).train(jobs=0)

    def test_changed_downstream_settings_are_refused_before_anything_is_trained(self, tmp_path: Path) -> None:
        folder = tmp_path / "downstream" / "linear_digits" / "moco_digits" / "seed_1"
        folder.mkdir(parents=True)
        (folder / "started.json").write_text(json.dumps(dict(recipe="another", weights="x")))
        with pytest.raises(ValueError, match="holds a run of linear_digits after moco_digits with other settings"):
            study(tmp_path).train()
        assert not (tmp_path / "pretrain").exists()

    def test_what_fails_is_named_and_what_needs_it_is_not_started(self, tmp_path: Path) -> None:
        broken = study(tmp_path, seeds=[1], downstream=[config("detection_digits_scenes")], scratch=True)
        failures = broken.train()
        output = tmp_path / "downstream" / "detection_digits_scenes" / NO_PRETRAINING / "seed_1" / "output.txt"
        assert output.is_file()  # it needs no pretraining and was tried
        pretraining = [
            f"{n}, seed 1: see {tmp_path}/pretrain/{n}/seed_1/output.txt" for n in ("moco_digits", "nda_moco_digits")
        ]
        skipped = [
            f"detection_digits_scenes after {arm}, seed 1: not started, as its pretraining failed"
            for arm in ("moco_digits", "nda_moco_digits")
        ]
        assert failures == [
            *pretraining,
            *skipped,
            f"detection_digits_scenes after {NO_PRETRAINING}, seed 1: see {output}",
        ]
        text = broken.report()
        assert all(f"- {failure}\n" in text for failure in failures)
        assert "no run has measured anything" in text
        assert (tmp_path / "results.md").read_text() == text

    def test_the_command_tells_what_it_refuses(self, tmp_path: Path) -> None:
        words = ["--pretrain", config("moco_digits"), "--downstream", config("linear_digits"), "--seeds", "1", "1"]
        done = subprocess.run(
            [sys.executable, str(PROJECT / "tools" / "transfer.py"), *words, "--out", str(tmp_path / "out")],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert done.stderr.endswith("transfer: seeds must be given and differ, but got [1, 1]\n")
        assert not (tmp_path / "out").exists()


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


class TestTheReport:
    TOP1 = {"scratch": [20.0, 25.0, 21.0], "plain": [80.0, 82.0, 84.0], "nda": [83.0, 83.0, 88.0]}

    def outcomes(self, without: tuple[tuple[str, int], ...] = ()) -> list[Outcome]:
        return [
            Outcome("probe", arm, seed, {} if (arm, seed) in without else {"top1": [(5, 1.0), (10, value)]})
            for arm, values in self.TOP1.items()
            for seed, value in enumerate(values)
        ]

    def test_differences_from_the_first_arm_and_from_the_plain_one(self) -> None:
        text = report_outcomes(self.outcomes(), list(self.TOP1), [0, 1, 2], ["scratch", "plain"])
        for arm, values in self.TOP1.items():
            mean, sd = sum(values) / 3, scipy.stats.tstd(values)
            assert f"| top1 | {arm} | {mean:.4g} | {sd:.3g} | {', '.join(f'{v:.4g}' for v in values)} |" in text
        first, second = text.split("Paired differences from ")[1:]
        assert first.startswith("scratch") and second.startswith("plain")
        for part, arm, baseline in ((first, "plain", "scratch"), (first, "nda", "scratch"), (second, "nda", "plain")):
            interval = scipy.stats.ttest_rel(self.TOP1[arm], self.TOP1[baseline]).confidence_interval(0.95)
            assert f"| top1 | {arm} |" in part and f"| {interval.low:+.4g} to {interval.high:+.4g} |" in part
        assert "| scratch |" not in second  # not a second time the other way round
        assert "Missing" not in text

    def test_missing_values_are_named_and_left_out_pair_by_pair(self) -> None:
        text = report_outcomes(self.outcomes((("plain", 1),)), list(self.TOP1), [0, 1, 2], ["scratch", "plain"])
        assert "- top1 of plain, seed 1\n" in text
        assert "| top1 | plain | 82 | 2.83 | 80, 84 |" in text
        assert "| +60, +63 |" in text  # plain from scratch: seeds 0 and 2
        assert "| +63, +58, +67 |" in text  # nda from scratch: all
        assert "CocoMetric gives no average precision" in text

    def test_an_arm_without_any_value(self) -> None:
        none = tuple(("scratch", seed) for seed in range(3))
        text = report_outcomes(self.outcomes(none), list(self.TOP1), [0, 1, 2], ["scratch", "plain"])
        assert "- top1 of scratch, seed 0, 1, 2\n" in text
        assert "differences from scratch" not in text
        assert "| +3, +1, +4 |" in text

    def test_an_earlier_evaluation_does_not_stand_in_for_the_last(self) -> None:
        outcomes = [Outcome("d", "a", 0, {"mAP": [(5, 0.1)]}), Outcome("d", "b", 0, {"mAP": [(5, 0.1), (10, 0.3)]})]
        text = report_outcomes(outcomes, ["a", "b"], [0])
        assert "- mAP of a, seed 0\n" in text and "| mAP | a |" not in text and "| mAP | b | 0.3 |" in text

    def test_only_chosen_metrics(self) -> None:
        outcomes = [Outcome("d", "a", 0, {"mAP": [(5, 0.1)], "mAP_50": [(5, 0.2)]})]
        assert "mAP_50" not in report_outcomes(outcomes, ["a"], [0], metrics=["mAP", "top1"])
        assert "no run has measured top1" in report_outcomes(outcomes, ["a"], [0], metrics=["top1"])


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

    assert "- tiny_probe: the random weights of tiny_moco's model before its first step" in text
    assert "- tiny_scenes: trained from scratch" in text
    assert "Paired differences from no_pretraining" in text
    assert "no run has measured anything" in text  # no detection has a score of 1, so mmdet gives no mAP
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
    with pytest.raises(ValueError, match="holds a run of tiny_probe after tiny_moco with other weights; remove it"):
        again.train()
