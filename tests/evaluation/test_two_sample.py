from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest

from nda_mm.evaluation.ood import auroc
from nda_mm.evaluation.two_sample import auroc_interval, classifier_scores, passing_count, wilson_interval


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 7), (44, 1000), (1, 1)])
def test_wilson_interval_is_scipys(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert wilson_interval(count, total, z=1.959963984540054) == pytest.approx(tuple(expected), abs=1e-9)


def test_auroc_interval_holds_its_level() -> None:
    truth = torch.distributions.Normal(0, 2**0.5).cdf(torch.tensor(1.0)).item()
    hits = 0
    for seed in range(400):
        generator = rng(seed)
        above = torch.randn(80, generator=generator) + 1
        value = auroc(torch.randn(60, generator=generator), above)
        low, high = auroc_interval(value, 80, 60)
        hits += low <= truth <= high
    assert 0.92 <= hits / 400 <= 0.98


def test_passing_count_by_hand() -> None:
    assert passing_count(torch.tensor([1.0, 94.9, 95.1, 200.0]), torch.arange(101.0)) == 2


def test_classifier_finds_chance_where_there_is_nothing_to_find() -> None:
    values = []
    for seed in range(10):
        reals, negatives = torch.randn(2, 300, 20, generator=rng(seed))
        values.append(auroc(*classifier_scores(reals, negatives, hidden=64, generator=rng(seed))))
    assert abs(sum(values) / 10 - 0.5) < 0.02


@pytest.mark.parametrize("kind", ["shifted", "ring"])
def test_classifier_finds_linear_and_curved_differences(kind: str) -> None:
    reals = torch.randn(800, 4, generator=rng())
    negatives = torch.randn(800, 4, generator=rng(1))
    if kind == "shifted":
        negatives[:, 0] += 4
    else:  # no linear score can tell these
        negatives *= 4
    real_scores, scores = classifier_scores(reals, negatives, generator=rng())
    assert auroc(real_scores, scores) > 0.97


def test_an_image_does_not_help_to_judge_its_own_negative() -> None:
    """Equal rows get equal scores, which only holds out of fold if both are in one fold."""
    reals = torch.randn(100, 5, generator=rng())
    real_scores, scores = classifier_scores(reals, reals.clone(), generator=rng())
    torch.testing.assert_close(real_scores, scores)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="5 of 3"):
        wilson_interval(5, 3)
    with pytest.raises(ValueError, match="at least 8 rows"):
        classifier_scores(torch.zeros(7, 2), torch.zeros(7, 2))
