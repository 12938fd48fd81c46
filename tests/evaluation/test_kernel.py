"""Kernel distance and classifier score against explicit loops."""

from __future__ import annotations

import math

import pytest
import torch

from nda_mm.evaluation.kernel import classifier_score, kernel_distance


def features(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(first: torch.Tensor, second: torch.Tensor, degree: int) -> float:
    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y)) / len(x) + 1) ** degree

    a, b = first.tolist(), second.tolist()
    within_a = sum(kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j)
    within_b = sum(kernel(b[i], b[j]) for i in range(len(b)) for j in range(len(b)) if i != j)
    between = sum(kernel(x, y) for x in a for y in b)
    return within_a / (len(a) * (len(a) - 1)) + within_b / (len(b) * (len(b) - 1)) - 2 * between / (len(a) * len(b))


@pytest.mark.parametrize("degree", [1, 3])
@pytest.mark.parametrize("block", [1, 4, 2048])
def test_kernel_distance_equals_the_double_loop(degree, block):
    first, second = features(9, 5, 0), features(13, 5, 1) + 0.5
    expected = by_loops(first, second, degree)
    assert kernel_distance(first, second, degree=degree, block=block) == pytest.approx(expected, rel=1e-12)


def test_kernel_distance_is_unbiased():
    """Mean over many draws from one distribution: 0 within its standard error, although a sample's own is not 0."""
    values = torch.tensor([kernel_distance(features(8, 3, 2 * i), features(8, 3, 2 * i + 1)) for i in range(2000)])
    assert abs(values.mean().item()) < 3 * values.std().item() / math.sqrt(len(values))


@pytest.mark.parametrize("splits", [1, 3])
def test_classifier_score_equals_its_definition(splits):
    probabilities = features(31, 6, 4).softmax(dim=1)
    scores = []
    for group in torch.tensor_split(probabilities, splits):
        rows = group.tolist()
        marginal = [sum(column) / len(rows) for column in zip(*rows)]
        scores.append(math.exp(sum(p * math.log(p / q) for row in rows for p, q in zip(row, marginal)) / len(rows)))
    mean = sum(scores) / splits
    deviation = math.sqrt(sum((score - mean) ** 2 for score in scores) / splits)
    assert classifier_score(probabilities, splits=splits) == pytest.approx((mean, deviation), rel=1e-10, abs=1e-12)


def test_classifier_score_at_its_ends():
    assert classifier_score(torch.eye(4).repeat(5, 1))[0] == pytest.approx(4.0)
    assert classifier_score(torch.full((7, 4), 0.25))[0] == pytest.approx(1.0)
    assert classifier_score(torch.eye(4)[[0, 0, 0]])[0] == pytest.approx(1.0)  # certain, but of one class only


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"but got \(2, 3\) and \(2, 4\)"):
        kernel_distance(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match="needs 2 samples of each, but got 1 and 2"):
        kernel_distance(torch.zeros(1, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="degree=0"):
        kernel_distance(torch.zeros(2, 3), torch.zeros(2, 3), degree=0)
    with pytest.raises(ValueError, match=r"\(4,\) and 1 splits"):
        classifier_score(torch.zeros(4))
    with pytest.raises(ValueError, match=r"\(3, 4\) and 5 splits"):
        classifier_score(torch.zeros(3, 4), splits=5)
