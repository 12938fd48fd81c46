"""Measures of detection against pytorch-ood, pairs counted one by one, and by hand; the report of them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nda_mm.evaluation.detection import (
    MEASURES,
    OODResult,
    aupr,
    auroc,
    bootstrap_intervals,
    detection_measures,
    format_table,
    fpr_at_tpr,
    means,
    plot_scores,
    roc_points,
    write_results,
)


def drawn(seed: int, distinct: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two kinds that overlap; with ``distinct`` values only, so that most are tied."""
    draw = np.random.default_rng(seed)
    kinds = draw.normal(0, 1, 37 + seed), draw.normal(0.8, 1.5, 61 - seed)
    return tuple(np.round(each * distinct / 6) if distinct else each for each in kinds)


PYTORCH_OOD = json.loads((Path(__file__).parents[1] / "data" / "outside" / "pytorch_ood.json").read_text())
CASES = [drawn(seed, distinct) for seed in range(2) for distinct in (None, 12, 3)]


@pytest.mark.parametrize("kept", PYTORCH_OOD.values(), ids=list(PYTORCH_OOD))
def test_all_measures_equal_pytorch_oods(kept: dict) -> None:
    """AUPR is compared by its curve: theirs is the trapezoidal area under it, ours its average precision."""
    ours = detection_measures(kept["inside"], kept["outside"])
    assert ours["auroc"] == pytest.approx(kept["auroc"], abs=1e-12)
    assert ours["fpr95"] == pytest.approx(kept["fpr95"], abs=1e-12)
    for name in ("aupr_out", "aupr_in"):
        precision, recall = (np.array(kept[name][each][::-1]) for each in ("precision", "recall"))
        assert ours[name] == pytest.approx(float((np.diff(recall) * precision[1:]).sum()), abs=1e-12)


@pytest.mark.parametrize(("inside", "outside"), CASES)
def test_auroc_counts_pairs(inside: np.ndarray, outside: np.ndarray) -> None:
    pairs = [1.0 if y > x else 0.5 if y == x else 0.0 for x in inside for y in outside]
    assert auroc(inside, outside) == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert auroc(outside, inside) == pytest.approx(1 - auroc(inside, outside), abs=1e-12)


def test_by_hand() -> None:
    # Sorted downwards: out 4, tie of in and out at 3, in 1.
    inside, outside = [3, 1], [4, 3]
    assert auroc(inside, outside) == 3.5 / 4
    assert aupr(inside, outside) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert aupr(inside, outside, positive="id") == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert fpr_at_tpr(inside, outside) == 0.5
    assert fpr_at_tpr(inside, outside, tpr=0.5) == 0.0
    assert fpr_at_tpr([1, 2, 3, 4], [0, 4, 5], tpr=0.75, positive="id") == pytest.approx(1 / 3)
    assert [rates.tolist() for rates in roc_points(inside, outside)] == [[0, 0, 0.5, 1], [0, 0.5, 1, 1]]


def test_all_equal_is_chance() -> None:
    assert detection_measures([2.0] * 3, [2.0]) == dict(auroc=0.5, aupr_out=0.25, aupr_in=0.75, fpr95=1.0)


@pytest.mark.parametrize(("out", "expected"), [(1.0, (1.0, 1.0, 1.0, 0.0)), (-1.0, (0.0, 0.5, 0.5, 1.0))])
def test_one_sample_of_each(out: float, expected: tuple[float, ...]) -> None:
    assert tuple(detection_measures([0.0], [out]).values()) == expected
    assert bootstrap_intervals([0.0], [out], resamples=5) == {
        name: (value, value) for name, value in zip(MEASURES, expected, strict=True)
    }


def test_exactly_95_percent_are_found_at_the_19th_of_20() -> None:
    # In floating point 0.95 * 20 > 19: a threshold by that product would take one positive more.
    assert fpr_at_tpr([0.5], [0.0, *range(1, 20)]) == 0.0
    low, high = bootstrap_intervals([0.5], [0.0, *range(1, 20)], resamples=200)["fpr95"]
    assert (low, high) == (0.0, 1.0)


def test_tensors_of_any_kind() -> None:
    inside, outside = CASES[0]
    tensors = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (inside, outside)]
    assert detection_measures(*tensors) == detection_measures(inside, outside)
    half = [torch.tensor(each, dtype=torch.bfloat16) for each in (inside, outside)]
    assert detection_measures(*half) == detection_measures(*(each.double() for each in half))


class TestBootstrap:
    @pytest.mark.parametrize("case", CASES[:3])
    def test_is_that_of_resampled_scores(self, case) -> None:
        inside, outside = case
        draw, values = np.random.default_rng(7), []
        for _ in range(50):
            parts = [each[draw.integers(0, len(each), len(each))] for each in (inside, outside)]
            values.append(list(detection_measures(*parts).values()))
        expected = np.quantile(values, [0.05, 0.95], axis=0)
        found = bootstrap_intervals(inside, outside, resamples=50, confidence=0.9, seed=7)
        np.testing.assert_allclose(list(found.values()), expected.T, atol=1e-12)

    @pytest.mark.slow
    def test_covers_the_true_value_about_as_often_as_it_says(self) -> None:
        from statistics import NormalDist

        truth = NormalDist().cdf(1 / 2**0.5)  # of two normals of spread 1 that lie 1 apart
        draw, covered = np.random.default_rng(0), 0
        for seed in range(200):
            sample = draw.normal(0, 1, 60), draw.normal(1, 1, 60)
            low, high = bootstrap_intervals(*sample, resamples=200, confidence=0.9, seed=seed)["auroc"]
            covered += low <= truth <= high
        assert 0.84 <= covered / 200 <= 0.95

    @pytest.mark.parametrize("bad", [dict(resamples=0), dict(confidence=1.0)])
    def test_refuses(self, bad: dict) -> None:
        with pytest.raises(ValueError, match=next(iter(bad))):
            bootstrap_intervals([0.0], [1.0], **bad)


@pytest.mark.parametrize(
    ("inside", "outside", "name"),
    [
        ([], [1.0], "id_scores"),
        ([1.0], torch.empty(0), "ood_scores"),
        ([1.0], [[1.0]], "ood_scores"),
        ([1.0, float("nan"), float("inf")], [1.0], "2 of 3 id_scores"),
    ],
)
def test_bad_scores_are_refused(inside: object, outside: object, name: str) -> None:
    for function in (auroc, aupr, fpr_at_tpr, detection_measures, roc_points, bootstrap_intervals):
        with pytest.raises(ValueError, match=name):
            function(inside, outside)


def test_bad_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="tpr"):
        fpr_at_tpr([0.0], [1.0], tpr=0)
    with pytest.raises(ValueError, match="positive"):
        aupr([0.0], [1.0], positive="real")


def result(name: str, value: float, count: int = 200, **intervals: tuple[float, float]) -> OODResult:
    values = {measure: value + number / 100 for number, measure in enumerate(MEASURES)}
    return OODResult(name, count, "as it is", values, intervals)


RESULTS = [
    result("svhn", 0.5, auroc=(0.4, 0.6)),
    result("cifar10_c/fog_1", 0.1),
    result("cifar10_c/fog_2", 0.3),
    result("dtd", 0.8, count=20),
]


class TestReport:
    def test_a_family_counts_as_one_set(self) -> None:
        found = means(RESULTS)
        assert list(found) == ["cifar10_c", "mean"]
        assert found["cifar10_c"] == pytest.approx(dict(auroc=0.2, aupr_out=0.21, aupr_in=0.22, fpr95=0.23))
        assert found["mean"]["auroc"] == pytest.approx((0.5 + 0.2 + 0.8) / 3)

    def test_the_table_has_counts_intervals_and_small_sets(self) -> None:
        lines = format_table(RESULTS, id_count=50).splitlines()
        assert [line.split()[0] for line in lines[1:]] == [
            "svhn", "cifar10_c/fog_1", "cifar10_c/fog_2", "dtd", "cifar10_c", "mean", "fewer",
        ]  # fmt: skip
        assert lines[1].split() == ["svhn", "200", "0.500", "[0.400,", "0.600]", "0.510", "0.520", "0.530"]
        assert lines[-1].endswith("the data (50), dtd (20)")
        assert "fewer" not in format_table(RESULTS[:3], id_count=100)

    def test_files_hold_everything(self, tmp_path: Path) -> None:
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

    def test_both_plots_are_drawn(self, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib")
        from PIL import Image

        draw = np.random.default_rng(0)
        sets = {f"set_{number}": draw.normal(number, 1, 50) for number in range(12)}
        assert plot_scores(tmp_path / "a", draw.normal(0, 1, 50), sets)
        assert plot_scores(tmp_path / "b", np.zeros(3), {"equal": np.zeros(2)})  # no spread at all
        for path in (tmp_path / "a", tmp_path / "b"):
            for name in ("scores.png", "roc.png"):
                pixels = np.asarray(Image.open(path / name).convert("L"))
                assert pixels.min() < 100 < pixels.max()

    def test_without_matplotlib_there_are_no_plots(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        assert not plot_scores(tmp_path / "a", np.zeros(3), {"x": np.ones(2)})
        assert not (tmp_path / "a").exists()
