"""tools/screen.py: what it refuses, and a real screening of a toy size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

from nda_mm.studies.run_results import read_curves

from nda_mm.studies.screening import PLAIN
from tools import screen

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["biggan_digits.py"], "has no negative of its own; name the transforms to screen (--transforms)"),
        (["biggan_digits.py", "--transforms", "jigsow"], "no negative is registered as 'jigsow'; there are: "),
        (["absent.py", "--transforms", "jigsaw"], "absent.py"),
        (["nda_biggan_digits.py", "--jobs", "0", "--seeds", "0"], "jobs must be at least 1, but got 0"),
        (["nda_biggan_digits.py", "--fake-weights", "2"], "fake_weight"),
    ],
)
def test_bad_use_is_said_in_a_line(words: list[str], message: str, tmp_path: Path, capsys: Any) -> None:
    assert screen.main([*words, "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("screen: ") and message in said and "Traceback" not in said


@pytest.mark.slow
def test_a_real_screening_of_digits_at_a_toy_budget(tmp_path: Path) -> None:
    options = [
        "train_cfg.max_iters=4",
        "train_cfg.val_interval=4",
        "train_dataloader.batch_size=8",
        "model.generator.arch_cfg.in_channels=[8,8]",
        "model.generator.arch_cfg.out_channels=[8,8]",
        "model.ema_config.start_iter=0",
        "val_evaluator.metrics.0.fake_nums=100",
        "val_evaluator.metrics.1.fake_nums=100",
    ]
    words = ["configs/nda_biggan_digits.py", "--transforms", "jigsaw", "--seeds", "0", "--reals", "128"]
    command = [sys.executable, "tools/screen.py", *words, "--out", str(tmp_path), "--cfg-options", *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    table = (tmp_path / "screening.md").read_text()
    assert table in done.stdout
    final = {
        name: read_curves(tmp_path / name / "seed_0")["classifier_digits/frechet"][-1][1]
        for name in (PLAIN, "negative_jigsaw", "positive_jigsaw")
    }
    assert len(set(final.values())) == 3  # both sides change the training
    for name in ("negative_jigsaw", "positive_jigsaw"):
        assert f"{final[name]:.4g} [{final[name] - final[PLAIN]:+.3g}]" in table
