"""Scores of a classifier, against scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from nda_mm.evaluation.metrics.classifier_scores import classifier_scores

LOGITS = np.random.default_rng(0).normal(0, 20, (50, 7))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("msp", -softmax(LOGITS, axis=1).max(axis=1)),
        ("energy", -logsumexp(LOGITS, axis=1)),
        ("max_logit", -LOGITS.max(axis=1)),
    ],
)
def test_scores_are_those_of_scipy(kind: str, expected: np.ndarray) -> None:
    found = classifier_scores(torch.from_numpy(LOGITS), kind)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    assert found.dtype == torch.float64


def test_certain_images_are_told_apart() -> None:
    """In float32 both softmaxes are 1."""
    first, second = classifier_scores(torch.tensor([[30.0, 0.0], [25.0, 0.0]])).tolist()
    assert first < second
