"""The measures of detection, against scikit-learn, against pairs counted one by one, and by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nda_mm.evaluation.ood import (
    MEASURES,
    aupr,
    auroc,
    bootstrap_intervals,
    detection_measures,
    fpr_at_tpr,
    roc_points,
)


def drawn(seed: int, distinct: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two kinds that overlap; with ``distinct`` values only, so that most are tied."""
    draw = np.random.default_rng(seed)
    inside, outside = draw.normal(0, 1, 37 + seed), draw.normal(0.8, 1.5, 61 - seed)
    if distinct:
        inside, outside = (np.round(each * distinct / 6) for each in (inside, outside))
    return inside, outside


PYTORCH_OOD = json.loads((Path(__file__).parents[1] / "data" / "outside" / "pytorch_ood.json").read_text())
CASES = [drawn(seed, distinct) for seed in range(4) for distinct in (None, 12, 3)]


@pytest.mark.parametrize(("inside", "outside"), CASES)
def test_all_measures_equal_scikit_learns(inside: np.ndarray, outside: np.ndarray) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    is_out, scores = np.repeat([0, 1], [len(inside), len(outside)]), np.concatenate([inside, outside])
    assert auroc(inside, outside) == pytest.approx(metrics.roc_auc_score(is_out, scores), abs=1e-12)
    assert aupr(inside, outside) == pytest.approx(metrics.average_precision_score(is_out, scores), abs=1e-12)
    assert aupr(inside, outside, positive="inside") == pytest.approx(
        metrics.average_precision_score(1 - is_out, -scores), abs=1e-12
    )
    for positive, labels, signed in (("outside", is_out, scores), ("inside", 1 - is_out, -scores)):
        fpr, tpr, _ = metrics.roc_curve(labels, signed, drop_intermediate=False)
        for share in (0.95, 0.5, 1.0):
            assert fpr_at_tpr(inside, outside, tpr=share, positive=positive) == fpr[np.argmax(tpr >= share)]
    fpr, tpr, _ = metrics.roc_curve(is_out, scores, drop_intermediate=False)
    np.testing.assert_allclose(roc_points(inside, outside), [fpr, tpr], atol=1e-12)
    measures = detection_measures(inside, outside)
    assert tuple(measures) == MEASURES
    assert list(measures.values()) == [
        auroc(inside, outside),
        aupr(inside, outside),
        aupr(inside, outside, positive="inside"),
        fpr_at_tpr(inside, outside),
    ]


@pytest.mark.parametrize("kept", PYTORCH_OOD.values(), ids=list(PYTORCH_OOD))
def test_all_measures_equal_pytorch_oods(kept: dict) -> None:
    """AUPR is compared by its curve: theirs is the trapezoidal area under it, ours its average precision."""
    ours = detection_measures(kept["inside"], kept["outside"])
    assert ours["auroc"] == pytest.approx(kept["auroc"], abs=1e-12)
    assert ours["fpr95"] == pytest.approx(kept["fpr95"], abs=1e-12)
    for name in ("aupr_out", "aupr_in"):
        precision, recall = (np.array(kept[name][each][::-1]) for each in ("precision", "recall"))
        assert ours[name] == pytest.approx(float((np.diff(recall) * precision[1:]).sum()), abs=1e-12)
        trapezoids = np.diff(recall) * (precision[1:] + precision[:-1]) / 2
        assert kept[name]["area"] == pytest.approx(float(trapezoids.sum()), abs=1e-12)


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
    assert aupr(inside, outside, positive="inside") == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)
    assert fpr_at_tpr(inside, outside) == 0.5
    assert fpr_at_tpr(inside, outside, tpr=0.5) == 0.0


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


def test_counts_do_not_overflow() -> None:
    many = np.arange(200_000) % 7
    assert auroc(many.astype(np.uint8), many) == 0.5


def test_tensors_of_any_kind_and_what_they_require() -> None:
    inside, outside = CASES[0]
    tensors = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in (inside, outside)]
    assert detection_measures(*tensors) == detection_measures(inside, outside)
    half = [torch.tensor(each, dtype=torch.bfloat16) for each in (inside, outside)]
    assert detection_measures(*half) == detection_measures(*(each.double() for each in half))
    assert all(each.tolist() == kept.tolist() for each, kept in zip(tensors, (inside, outside), strict=True))


def test_a_rising_function_of_the_scores_changes_nothing() -> None:
    inside, outside = CASES[1]
    assert detection_measures(np.exp(inside), np.exp(outside)) == detection_measures(inside, outside)


class TestBootstrap:
    def test_is_that_of_resampled_scores(self) -> None:
        inside, outside = CASES[1]
        draw, values = np.random.default_rng(7), []
        for _ in range(200):
            parts = [each[draw.integers(0, len(each), len(each))] for each in (inside, outside)]
            values.append(list(detection_measures(*parts).values()))
        expected = np.quantile(values, [0.05, 0.95], axis=0)
        found = bootstrap_intervals(inside, outside, resamples=200, confidence=0.9, seed=7)
        np.testing.assert_allclose(list(found.values()), expected.T, atol=1e-12)

    def test_the_seed_determines_it(self) -> None:
        first, again, other = (bootstrap_intervals(*CASES[0], resamples=50, seed=seed) for seed in (1, 1, 2))
        assert first == again
        assert first != other

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

    def test_narrows_with_the_root_of_the_count(self) -> None:
        draw = np.random.default_rng(3)
        widths = []
        for count in (100, 1600):
            low, high = bootstrap_intervals(draw.normal(0, 1, count), draw.normal(1, 1, count))["auroc"]
            widths.append(high - low)
        assert widths[0] / widths[1] == pytest.approx(4, rel=0.25)

    @pytest.mark.parametrize("bad", [dict(resamples=0), dict(confidence=1.0)])
    def test_refuses(self, bad: dict) -> None:
        with pytest.raises(ValueError, match="resamples must be at least 1 and confidence in"):
            bootstrap_intervals([0.0], [1.0], **bad)


@pytest.mark.parametrize(
    ("inside", "outside", "message"),
    [
        ([], [1.0], "there are no inside scores; at least one sample of each kind"),
        ([1.0], torch.empty(0), "there are no outside scores"),
        ([1.0], [[1.0]], r"outside scores must have the shape \(N,\), one number a sample, but got \(1, 1\)"),
        ([1.0], 1.0, r"outside scores must have the shape \(N,\), one number a sample, but got \(\)"),
        ([1.0, float("nan"), float("inf")], [1.0], r"2 of 3 inside scores are not finite \(the first is number 1, nan"),
        (["a"], [1.0], "inside scores must be real numbers, but are of type <U1"),
        ([1j], [1.0], "inside scores must be real numbers, but are of type complex128"),
    ],
)
def test_bad_scores_are_refused(inside: object, outside: object, message: str) -> None:
    for function in (auroc, aupr, fpr_at_tpr, detection_measures, roc_points, bootstrap_intervals):
        with pytest.raises(ValueError, match=message):
            function(inside, outside)


def test_bad_choices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tpr must be in \(0, 1\], but got 0"):
        fpr_at_tpr([0.0], [1.0], tpr=0)
    with pytest.raises(ValueError, match=r"positive must be one of \('outside', 'inside'\), but got 'real'"):
        aupr([0.0], [1.0], positive="real")
