"""Scores of classifiers against those of pytorch-ood; see tests/data/outside/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nda_mm.evaluation.metrics.classifier_scores import classifier_scores
from nda_mm.evaluation.nearest import knn_distances

VALUES = json.loads((Path(__file__).parents[2] / "data" / "outside" / "pytorch_ood_scores.json").read_text())


@pytest.mark.parametrize("kind", ["msp", "energy", "max_logit"])
def test_scores_of_logits_equal_pytorch_oods(kind: str) -> None:
    # Six digits of theirs are kept.
    torch.testing.assert_close(
        classifier_scores(torch.tensor(VALUES["logits"]), kind).double(),
        torch.tensor(VALUES[kind], dtype=torch.float64),
        atol=2e-6,
        rtol=2e-6,
    )


@pytest.mark.parametrize("k", [1, 5, 40])
def test_distances_to_the_kth_neighbor_equal_pytorch_oods(k: int) -> None:
    distances = knn_distances(torch.tensor(VALUES["queries"]), torch.tensor(VALUES["bank"]), k=k)
    expected = torch.tensor(VALUES["knn"][str(k)], dtype=torch.float64)
    torch.testing.assert_close(distances.double(), expected, atol=2e-6, rtol=0)
