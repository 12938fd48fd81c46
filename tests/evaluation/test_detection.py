"""Measures of detection against scikit-learn, pytorch-ood and by hand, intervals against resampled scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from nda_mm.evaluation.detection import auroc, bootstrap_intervals, detection_measures


def drawn(seed: int, distinct: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two kinds that overlap; with ``distinct`` values only, so that most are tied."""
    draw = np.random.default_rng(seed)
    kinds = draw.normal(0, 1, 37 + seed), draw.normal(0.8, 1.5, 61 - seed)
    return tuple(np.round(each * distinct / 6) if distinct else each for each in kinds)


PYTORCH_OOD = json.loads((Path(__file__).parents[1] / "data" / "outside" / "pytorch_ood.json").read_text())
CASES = [drawn(0), drawn(0, distinct=3)]


@pytest.mark.parametrize("kept", PYTORCH_OOD.values(), ids=list(PYTORCH_OOD))
def test_all_measures_equal_pytorch_oods(kept: dict) -> None:
    """Their AUPR is the trapezoidal area; our average precision is compared by the curve."""
    ours = detection_measures(kept["inside"], kept["outside"])
    assert ours["auroc"] == pytest.approx(kept["auroc"], abs=1e-12)
    assert ours["fpr95"] == pytest.approx(kept["fpr95"], abs=1e-12)
    for name in ("aupr_out", "aupr_in"):
        precision, recall = (np.array(kept[name][each][::-1]) for each in ("precision", "recall"))
        assert ours[name] == pytest.approx(float((np.diff(recall) * precision[1:]).sum()), abs=1e-12)
        joined = detection_measures(kept["inside"], kept["outside"], trapezoid=True)[name]
        assert joined == pytest.approx(kept[name]["area"], abs=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_all_measures_equal_scikit_learns(case: tuple[np.ndarray, np.ndarray]) -> None:
    is_ood, scores = np.repeat([False, True], [len(kind) for kind in case]), np.concatenate(case)
    false, true, _ = roc_curve(is_ood, scores, drop_intermediate=False)
    expected = dict(
        auroc=roc_auc_score(is_ood, scores),
        aupr_out=average_precision_score(is_ood, scores),
        aupr_in=average_precision_score(~is_ood, -scores),
        fpr95=false[np.argmax(true >= 0.95)],
    )
    assert detection_measures(*case) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("inside", "outside", "expected"),
    [
        ([2.0] * 3, [2.0], (0.5, 0.25, 0.75, 1.0)),
        ([0.0], [-1.0], (0.0, 0.5, 0.5, 1.0)),
    ],
)
def test_few_and_equal_scores(inside: list[float], outside: list[float], expected: tuple[float, ...]) -> None:
    assert tuple(detection_measures(inside, outside).values()) == expected
    assert list(bootstrap_intervals(inside, outside, resamples=5).values()) == [(each, each) for each in expected]


def test_exactly_95_percent_are_found_at_the_19th_of_20() -> None:
    # In floating point 0.95 * 20 > 19: a threshold by that product would take one positive more.
    assert detection_measures([0.5], [0.0, *range(1, 20)])["fpr95"] == 0.0
    low, high = bootstrap_intervals([0.5], [0.0, *range(1, 20)], resamples=200)["fpr95"]
    assert (low, high) == (0.0, 1.0)


@pytest.mark.parametrize("trapezoid", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_the_bootstrap_is_that_of_resampled_scores(case, trapezoid: bool) -> None:
    inside, outside = (torch.tensor(each, requires_grad=True) for each in case)
    draw, values = np.random.default_rng(7), []
    for _ in range(50):
        parts = [each[draw.integers(0, len(each), len(each))] for each in case]
        values.append(list(detection_measures(*parts, trapezoid=trapezoid).values()))
    expected = np.quantile(values, [0.05, 0.95], axis=0)
    found = bootstrap_intervals(inside, outside, resamples=50, confidence=0.9, seed=7, trapezoid=trapezoid)
    np.testing.assert_allclose(list(found.values()), expected.T, atol=1e-12)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="ood_scores"):
        auroc([1.0], torch.empty(0))
    with pytest.raises(ValueError, match="2 of 3 id_scores"):
        bootstrap_intervals([1.0, float("nan"), float("inf")], [1.0])
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_intervals([0.0], [1.0], confidence=1.0)
