"""The study of DPC, whole but small: pretraining, hand-over of the encoder and of the backbone alone, judgement."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("mmaction.models")
pytest.importorskip("sklearn")

from nda_mm.checkpoints import read_checkpoint
from nda_mm.studies.transfer import NO_PRETRAINING, TransferStudy

PROJECT = Path(__file__).resolve().parents[2]
SMALL_PRETRAINING = """
_base_ = "{configs}/dpc/nda_dpc_digits.py"
model = dict(backbone=dict(base_channels=4), aggregator=dict(in_channels=16))
train_dataloader = dict(batch_size=4, dataset=dict(num_clips=8))
train_cfg = dict(max_epochs=1)
"""
SMALL_DOWNSTREAM = """
_base_ = "{configs}/dpc/{name}.py"
model = dict(
    backbone=dict(backbone=dict(base_channels=4), aggregator=dict(in_channels=16)), cls_head=dict(in_channels=16)
)
train_dataloader = dict(batch_size=4, dataset=dict(num_clips=8))
val_dataloader = dict(dataset=dict(num_clips=8))
train_cfg = dict(max_epochs=1, val_interval=1)
"""
DOWNSTREAM = ("dpc_finetune_digits", "dpc_linear_digits")
ARMS = (NO_PRETRAINING, "small_dpc")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / "epoch_1.pth")["state_dict"]


@pytest.mark.slow
def test_dpc_on_digits_from_end_to_end(tmp_path: Path) -> None:
    configs, out = PROJECT / "configs", tmp_path / "out"
    (tmp_path / "small_dpc.py").write_text(SMALL_PRETRAINING.format(configs=configs))
    for name in DOWNSTREAM:
        (tmp_path / f"{name}.py").write_text(SMALL_DOWNSTREAM.format(configs=configs, name=name))
    study = TransferStudy(
        [str(tmp_path / "small_dpc.py")],
        [str(tmp_path / f"{name}.py") for name in DOWNSTREAM],
        [3],
        out,
        train_command=[sys.executable, str(PROJECT / "tools" / "train.py")],
        scratch=True,
    )
    assert study.train(jobs=2) == []
    text = study.report()

    def run(name: str, arm: str) -> Path:
        return out / "downstream" / name / arm / "seed_3"

    # The probe's encoder is frozen, so it still has all the weights and statistics that it was given.
    trained = weights(out / "pretrain" / "small_dpc" / "seed_3")
    untrained = torch.load(out / "backbones" / "no_pretraining_seed_3.pth", weights_only=True)["state_dict"]
    for arm, given in zip(ARMS, (untrained, trained), strict=True):
        probe = weights(run("dpc_linear_digits", arm))
        own = {name.removeprefix("backbone."): value for name, value in probe.items() if name.startswith("backbone.")}
        assert set(own) == {name for name in given if not name.startswith("predictor.")}
        assert all(torch.equal(value, given[name]) for name, value in own.items())
    assert not torch.equal(trained["aggregator.candidate.weight"], untrained["aggregator.candidate.weight"])

    said = {arm: (run("dpc_finetune_digits", arm) / "output.txt").read_text() for arm in ARMS}
    assert "backbone holds all 106 tensors of" in said["small_dpc"]  # five of each of 20 layers, six of the unit
    assert "No pretrained file is named for the backbone, which is trained from scratch." in said[NO_PRETRAINING]
    assert "| train/negative_share | small_dpc |" in text
    with (out / "results.csv").open() as file:
        rows = {(row["recipe"], row["arm"]) for row in csv.DictReader(file) if row["metric"] == "acc/top1"}
    assert rows == {(name, arm) for name in DOWNSTREAM for arm in ARMS}
