"""Measurements of checkpoints, with a small process in place of tools/test.py that writes what mmengine writes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nda_mm.studies.comparison import Comparison
from nda_mm.studies.measurements import Measurement, last_checkpoint, measure_all, measured

#: Argument 3 is the work dir; the value is the number of tests so far.
COUNT = [
    sys.executable,
    "-c",
    "import json, pathlib, sys\n"
    "config, checkpoint, _, folder = sys.argv[1:5]\n"
    "number = len(list(pathlib.Path(folder).glob('*/*.json')))\n"
    "out = pathlib.Path(folder, f'2026_{number}')\n"
    "out.mkdir()\n"
    "(out / f'{out.name}.json').write_text(json.dumps({'net_train/frechet': number + 0.5, 'net/frechet': 9.0}))\n",
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A work dir whose checkpoint was saved elsewhere."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "iter_20.pth").write_bytes(b"weights")
    (folder / "last_checkpoint").write_text("/elsewhere/run/iter_20.pth")
    (tmp_path / "recipe.py").write_text("a = 1\n")
    return folder


def test_the_last_checkpoint_is_found_where_the_run_is_now(run: Path, tmp_path: Path) -> None:
    assert last_checkpoint(run) == run / "iter_20.pth"
    with pytest.raises(ValueError, match=r"there is no checkpoint in .* to be measured"):
        last_checkpoint(tmp_path)


def test_what_is_measured_is_kept_until_checkpoint_or_config_change(run: Path, tmp_path: Path) -> None:
    one = Measurement(str(tmp_path / "recipe.py"), last_checkpoint(run), tmp_path / "test", "nda, seed 0")
    assert measured(one.folder) is None
    for expected, change in enumerate((None, "weights", "step", "config", "options")):
        if change == "weights":
            os.utime(run / "iter_20.pth", (1, 1))
        elif change == "step":
            (run / "iter_20.pth").rename(run / "iter_30.pth")
            one = replace(one, checkpoint=run / "iter_30.pth")
        elif change == "config":
            (tmp_path / "recipe.py").write_text("a = 2\n")
        elif change == "options":
            one = replace(one, cfg_options=("a=3",))
        for _ in range(2):
            assert measure_all([one], COUNT) == []
            values = {"net_train/frechet": expected + 0.5, "net/frechet": 9.0}
            assert measured(one.folder) == (20 if expected < 2 else 30, values)


def test_a_failure_is_said_and_costs_the_others_nothing(run: Path, tmp_path: Path, capsys) -> None:
    good = Measurement(str(tmp_path / "recipe.py"), last_checkpoint(run), tmp_path / "good", "good")
    bad = replace(good, folder=tmp_path / "bad", label="bad")
    fails = [*COUNT[:2], COUNT[2].replace("out.mkdir()", "assert 'bad' not in folder, 'no data'; out.mkdir()")]
    assert measure_all([bad, good], fails, jobs=2) == [bad]
    assert measured(good.folder) is not None
    assert measured(bad.folder) is None
    assert "AssertionError: no data" in capsys.readouterr().err


def test_on_sigterm_nothing_more_is_measured(run: Path, tmp_path: Path, capsys) -> None:
    asking = [sys.executable, "-c", "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"]
    one = Measurement(str(tmp_path / "recipe.py"), last_checkpoint(run), tmp_path / "test", "nda, seed 0")
    both = [one, replace(one, folder=tmp_path / "other", label="nda, seed 1")]
    assert measure_all(both, asking) == []
    assert "nda, seed 1: not measured" in capsys.readouterr().out
    assert measured(one.folder) is None


def test_a_comparison_reports_what_was_measured_beside_what_was_logged(tmp_path: Path) -> None:
    recipes = []
    for name in ("plain", "nda"):
        recipes.append(str(tmp_path / f"{name}.py"))
        Path(recipes[-1]).write_text("train_cfg = dict(max_iters=20)\n")
        folder = tmp_path / "out" / name / "seed_0"
        log = folder / "20260101_000000" / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        log.write_text(json.dumps({"net/frechet": 7.0, "step": 20}) + "\n")
        (folder / "iter_20.pth").write_bytes(b"weights")
        (folder / "last_checkpoint").write_text(str(folder / "iter_20.pth"))
        (folder / "finished.json").write_text("{}")
    comparison = Comparison(recipes, [0, 1], tmp_path / "out", train_command=[])
    assert [run.seed for run in comparison.unfinished] == [1, 1]
    assert comparison.measure(COUNT, jobs=2) == []
    assert [run.seed for run in comparison.unmeasured] == [1, 1]
    text = comparison.report()
    assert "Budget: 20 steps." in text
    assert "| net_train/frechet | nda | 0.5 | nan | 0.5 |" in text
    assert "| net/frechet | nda | 7 | nan | 7 |" in text  # what was logged, not the 9 that was measured
