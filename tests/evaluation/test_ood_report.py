"""The report of an anomaly detection: means over families, the files and the plots; p-values of single images."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.evaluation.detection import MEASURES
from nda_mm.evaluation.ood_report import (
    OODResult,
    conformal_p_values,
    means,
    plot_scores,
    rank_images,
    write_results,
)


def result(name: str, value: float, count: int = 200, **intervals: tuple[float, float]) -> OODResult:
    values = {measure: value + number / 100 for number, measure in enumerate(MEASURES)}
    return OODResult(name, count, "as it is", values, intervals)


RESULTS = [
    result("svhn", 0.5, auroc=(0.4, 0.6)),
    result("cifar10_c/fog_1", 0.1),
    result("cifar10_c/fog_2", 0.3),
    result("dtd", 0.8, count=20),
]


def test_a_family_counts_as_one_set() -> None:
    found = means(RESULTS)
    assert list(found) == ["cifar10_c", "mean"]
    assert found["cifar10_c"] == pytest.approx(dict(auroc=0.2, aupr_out=0.21, aupr_in=0.22, fpr95=0.23))
    assert found["mean"]["auroc"] == pytest.approx((0.5 + 0.2 + 0.8) / 3)
    apart = means(RESULTS, apart=["cifar10_c"])
    assert apart["cifar10_c"] == found["cifar10_c"]
    assert apart["mean"]["auroc"] == pytest.approx((0.5 + 0.8) / 2)


def test_files_hold_everything(tmp_path: Path) -> None:
    write_results(tmp_path / "deep" / "ood", RESULTS, dict(inside_count=50, score="minus"))
    content = json.loads((tmp_path / "deep/ood/results.json").read_text())
    assert content["protocol"] == dict(inside_count=50, score="minus")
    assert content["sets"][0] == dict(
        name="svhn", count=200, resizing="as it is", values=RESULTS[0].values, intervals=dict(auroc=[0.4, 0.6])
    )
    assert content["means"] == means(RESULTS)
    with (tmp_path / "deep/ood/results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(MEASURES) * (len(RESULTS) + 2)
    assert rows[0] == dict(
        set="svhn", n_inside="50", n_outside="200", measure="auroc", value="0.5", low="0.4", high="0.6"
    )
    assert {row["set"] for row in rows[-8:]} == {"cifar10_c (mean)", "mean"}


def test_both_plots_are_drawn(tmp_path: Path) -> None:
    plot_scores(tmp_path, np.zeros(3), {"equal": np.zeros(2), "higher": np.arange(9)})
    for name in ("scores.png", "roc.png"):
        pixels = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert pixels.min() < 100 < pixels.max()


def test_p_values_count_normal_scores_as_high() -> None:
    draw = np.random.default_rng(0)
    normal, scores = draw.integers(0, 9, 40).astype(float), draw.integers(-2, 12, 30).astype(float)
    expected = [(1 + sum(each >= score for each in normal)) / 41 for score in scores]
    assert conformal_p_values(normal, scores).tolist() == expected


def test_the_most_anomalous_image_comes_first() -> None:
    table = rank_images(["a", "b", "c"], np.array([1.0, 3.0, 1.0]), np.array([0.0, 2.0]))
    assert table["file"].tolist() == ["b", "a", "c"]
    assert table.index.tolist() == [1, 0, 2]
    assert table["rank"].tolist() == [1, 2, 3]
    assert table["p_value"].tolist() == [1 / 3, 2 / 3, 2 / 3]
