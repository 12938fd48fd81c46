"""Statistics against numpy, distances against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics.pairwise import polynomial_kernel

from nda_mm.evaluation import FeatureStatistics, classifier_score, frechet_distance, kernel_distance


def features(count: int, width: int, seed: int, offset: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(width, width, generator=generator, dtype=torch.float64)
    return torch.randn(count, width, generator=generator, dtype=torch.float64) @ mixing + offset


def distance_by_scipy(a: torch.Tensor, b: torch.Tensor) -> float:
    covariances = np.cov(a.numpy(), rowvar=False), np.cov(b.numpy(), rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    gap = a.numpy().mean(0) - b.numpy().mean(0)
    return float(gap @ gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * np.trace(root))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    first, second = FeatureStatistics().update(a), FeatureStatistics().update(b)
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)


@settings(deadline=None, max_examples=20)
@given(
    sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    ranks=st.integers(1, 3),
    offset=st.sampled_from([0.0, 1e6]),
    half=st.booleans(),
)
def test_streamed_and_merged_statistics_equal_numpy(sizes, ranks, offset, half):
    data = features(sum(sizes) + 2, 4, seed=sum(sizes), offset=min(offset, 50.0) if half else offset)
    data = data.half() if half else data
    parts = [FeatureStatistics() for _ in range(ranks)]
    for index, batch in enumerate(torch.split(data, [*sizes, 2])):
        parts[index % ranks].update(batch)
    whole = FeatureStatistics()
    for part in parts:
        whole.merge(part)
    assert (whole.count, whole.covariance.dtype) == (len(data), torch.float64)
    data = data.double()
    np.testing.assert_allclose(whole.mean.numpy(), data.numpy().mean(0), rtol=1e-12, atol=1e-12)
    # features a million from 0 keep 16 - 6 digits themselves
    np.testing.assert_allclose(whole.covariance.numpy(), np.cov(data.numpy(), rowvar=False), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("width", "offset"), [(2, 0.0), (64, 3.0)])
def test_distance_equals_scipy(width, offset):
    a, b = features(300, width, seed=1), features(200, width, seed=2, offset=offset)
    assert distance(a, b) == pytest.approx(distance_by_scipy(a, b), rel=1e-8)


def test_fewer_samples_than_features():
    """Covariances of rank 4 in 64 dimensions, in subspaces apart: the closed form has no common root."""
    a, b = torch.zeros(5, 64, dtype=torch.float64), torch.zeros(5, 64, dtype=torch.float64)
    a[:, :5], b[:, 5:10] = torch.eye(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64) * 2
    first, second = FeatureStatistics().update(a), FeatureStatistics().update(b)
    assert first.rank_deficient
    assert not FeatureStatistics().update(features(65, 64, 0)).rank_deficient
    gap = (first.mean - second.mean).square().sum().item()
    expected = gap + first.covariance.trace().item() + second.covariance.trace().item()
    assert distance(a, b) == pytest.approx(expected, rel=1e-12)
    # and where the subspaces meet: the same five samples, doubled
    trace = first.covariance.trace().item()
    assert distance(a, 2 * a) == pytest.approx(first.mean.square().sum().item() + trace, rel=1e-10)


@given(seed=st.integers(0, 10_000), shrink=st.floats(0, 1))
@settings(deadline=None, max_examples=20)
def test_never_negative_symmetric_and_zero_for_identical_sets(seed, shrink):
    a = features(6, 8, seed)
    b = a * shrink + features(6, 8, seed + 1) * 1e-9
    assert distance(a, b) >= 0.0
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-6, abs=1e-9)
    assert distance(a, a) == 0.0
    scale = FeatureStatistics().update(a).covariance.trace().item()
    assert 0.0 <= distance(a, a[torch.randperm(6, generator=torch.Generator().manual_seed(0))]) < 1e-12 * scale


def kernel_by_scikit_learn(first: torch.Tensor, second: torch.Tensor, degree: int) -> float:
    sets, within = (first.numpy(), second.numpy()), 0.0
    for each in sets:
        pairs = polynomial_kernel(each, degree=degree)
        within += (pairs.sum() - pairs.trace()) / (len(each) * (len(each) - 1))
    return within - 2 * polynomial_kernel(*sets, degree=degree).mean()


@pytest.mark.parametrize(("degree", "block"), [(1, 4), (3, 2048)])
def test_kernel_distance_equals_scikit_learns_kernel(degree, block):
    first, second = features(9, 5, 0), features(13, 5, 1) + 0.5
    expected = kernel_by_scikit_learn(first, second, degree)
    assert kernel_distance(first, second, degree=degree, block=block) == pytest.approx(expected, rel=1e-12)


def test_classifier_score_equals_its_definition():
    probabilities = features(31, 6, 4).softmax(dim=1)
    scores = []
    for group in np.array_split(probabilities.numpy(), 3):
        scores.append(np.exp(scipy.stats.entropy(group, group.mean(axis=0, keepdims=True), axis=1).mean()))
    assert classifier_score(probabilities, splits=3) == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-10)


def test_bad_input_is_refused():
    for bad in (
        lambda: FeatureStatistics().update(torch.zeros(2, 3)).update(torch.zeros(2, 4)),
        lambda: FeatureStatistics().update(torch.zeros(1, 3)).covariance,
        lambda: frechet_distance(torch.zeros(2), torch.eye(2) * float("nan"), torch.zeros(2), torch.eye(2)),
        lambda: kernel_distance(torch.zeros(1, 3), torch.zeros(2, 3)),
        lambda: classifier_score(torch.zeros(3, 4), splits=5),
    ):
        with pytest.raises(ValueError):
            bad()
