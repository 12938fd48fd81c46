"""Curves from logs as mmengine writes them, and statistics against scipy's own tests."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import scipy.stats

from nda_mm.studies.run_results import markdown, paired_differences, plot, read_curves, summarise


def log(folder: Path, start: str, lines: list[dict | str]) -> None:
    path = folder / start / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")


def test_curves_of_a_resumed_and_killed_run(tmp_path):
    log(
        tmp_path,
        "20260101_000000",
        [
            dict(base_lr=0.1, lr=0.1, loss_disc=1.0, time=0.1, iter=50, step=50),
            {"net/frechet": 9.0, "data_time": 0.1, "time": 0.2, "step": 100},
            {"generator/base_lr": 0.1, "iter": 150, "step": 150},
            {"net/frechet": 5.0, "step": 200},
            '{"net/frechet": 4.0, "st',  # the power went out here
        ],
    )
    log(tmp_path, "20260102_000000", [{"net/frechet": 6.0, "step": 200}, {"net/frechet": 3.0, "net/x": 1, "step": 300}])
    assert read_curves(tmp_path) == {"net/frechet": [(100, 9.0), (200, 6.0), (300, 3.0)], "net/x": [(300, 1.0)]}


def test_curves_of_an_empty_folder(tmp_path):
    assert read_curves(tmp_path) == {}


def test_paired_differences_equal_scipy():
    baseline = summarise("plain", "frechet", [10.0, 12.0, 11.5, 9.0])
    recipe = summarise("nda", "frechet", [9.0, 11.5, 11.0, 8.7])
    assert baseline.mean == pytest.approx(10.625)
    assert baseline.deviation == pytest.approx(scipy.stats.tstd(baseline.values))
    pair = paired_differences(recipe, baseline)
    expected = scipy.stats.ttest_rel(recipe.values, baseline.values).confidence_interval(0.95)
    assert (pair.low, pair.high) == pytest.approx((expected.low, expected.high))
    assert pair.values == pytest.approx((-1.0, -0.5, -0.5, -0.3))
    assert pair.mean == pytest.approx(-0.575)


def test_one_seed_has_no_spread():
    one = summarise("plain", "frechet", [10.0])
    assert math.isnan(one.deviation)
    pair = paired_differences(summarise("nda", "frechet", [9.0]), one)
    assert pair.mean == -1.0
    assert math.isnan(pair.low)


@dataclass(frozen=True)
class ARun:
    name: str
    seed: int


def test_table_and_plot(tmp_path):
    rows = [summarise("plain", "frechet", [10.0, 12.0]), summarise("nda", "frechet", [9.0, 10.0])]
    text = markdown(rows, [paired_differences(rows[1], rows[0])], [0, 1])
    assert "Final values over seeds 0, 1 (n = 2)." in text
    assert "| frechet | plain | 11 | 1.41 | 10, 12 |" in text
    assert "| frechet | nda | -1.5 | -7.853 to +4.853 | -1, -2 |" in text

    curves = {
        ARun(name, seed): {"frechet": [(100, 20.0 + seed), (200, 10.0)]} for name in ("plain", "nda") for seed in (0, 1)
    }
    pytest.importorskip("matplotlib")
    plot(tmp_path / "r.png", curves, ["frechet"])
    from PIL import Image

    with Image.open(tmp_path / "r.png") as image:
        colours = {pixel for _, pixel in image.convert("RGB").getcolors(10**6)}
    assert {(31, 119, 180), (255, 127, 14)} <= colours  # a line for each recipe


def test_a_training_without_an_evaluation_is_read_from_its_own_lines(tmp_path):
    lines = [dict(base_lr=0.1, lr=0.1, loss=2.0 / n, top1_accuracy=0.25 * n, time=0.1, epoch=n, step=n) for n in (1, 2)]
    log(tmp_path, "20260101_000000", [*lines, {"acc/top1": 0.5, "step": 2}])
    assert read_curves(tmp_path) == {"acc/top1": [(2, 0.5)]}
    assert read_curves(tmp_path, training=True) == {
        "train/loss": [(1, 2.0), (2, 1.0)],
        "train/top1_accuracy": [(1, 0.25), (2, 0.5)],
    }
