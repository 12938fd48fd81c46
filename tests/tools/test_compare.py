"""tools/compare.py on two recipes of points: whole, and stopped by SIGTERM and continued."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("mmagic")

COMPARE = [sys.executable, str(Path(__file__).resolve().parents[2] / "tools" / "compare.py")]
WORDS = ["toy_gaussians", "nda_toy_gaussians", "--seeds", "3", "--cfg-options"]
WORDS += ["train_cfg.max_iters=600", "train_cfg.val_interval=100", "val_evaluator.metrics.0.fake_nums=200"]


def compare(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMPARE, *words], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_what_was_cut_off_continues_to_the_same_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    whole, cut = ("--out", str(tmp_path / "whole")), ("--out", str(tmp_path / "cut"))
    first = compare(*WORDS, *whole)
    assert first.returncode == 0, first.stderr
    table = (tmp_path / "whole" / "results.md").read_text()
    assert table in first.stdout
    assert "Budget: 600 steps (600 of the generator)" in table and "Paired differences from toy_gaussians" in table
    with (tmp_path / "whole" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["recipe"], row["step"]) for row in rows} == {
        (recipe, str(step)) for recipe in WORDS[:2] for step in range(100, 601, 100)
    }
    assert (tmp_path / "whole" / "results.png").stat().st_size > 1000

    with subprocess.Popen([*COMPARE, *WORDS, *cut], stdout=subprocess.PIPE, text=True) as running:
        while not list((tmp_path / "cut").glob("*/seed_3/*/vis_data/scalars.json")):  # in the middle of the first
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate()
    assert running.returncode == 3
    assert "toy_gaussians, seed 3: stopped" in said and "nda_toy_gaussians, seed 3: not started" in said
    assert "2 of 2 runs are to be continued by the same command" in said
    rest = compare(*WORDS, *cut)
    assert rest.returncode == 0, rest.stderr
    assert "resumed epoch: 0, iter: " in (tmp_path / "cut" / "toy_gaussians" / "seed_3" / "output.txt").read_text()
    assert (tmp_path / "cut" / "results.csv").read_text() == (tmp_path / "whole" / "results.csv").read_text()

    again = compare(*WORDS, *cut)
    assert again.returncode == 0 and "training" not in again.stdout
    changed = compare(*WORDS, "optim_wrapper.generator.optimizer.lr=0.1", *cut)
    assert changed.returncode == 1 and "with other settings" in changed.stderr
