"""Scores of translated images, from data samples as mmagic's Pix2Pix gives them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nda_mm.evaluation import SegmentationScores, TranslationScores
from nda_mm.evaluation.networks import FeatureNetwork, FeaturesAndProbs
from nda_mm.evaluation.segmentation import confusion_matrix, segmentation_scores

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
COLORS = [(RED, 0), (GREEN, 1), (BLUE, 2), ((0, 0, 0), 255)]


def painted(classes: Tensor) -> Tensor:
    """BGR, as mmagic gives images in evaluation."""
    table = torch.tensor([RED, GREEN, BLUE, (0, 0, 0)], dtype=torch.float32)
    return table[classes.where(classes < 3, torch.tensor(3))].permute(2, 0, 1).flip(0)


def evaluate(metric: Any, batches: list[list[dict]]) -> dict[str, float]:
    """As mmagic's evaluator does it."""
    loader = SimpleNamespace(dataset=[sample for batch in batches for sample in batch])
    metric.prepare(nn.Linear(1, 1), loader)
    assert metric.get_metric_sampler(None, loader, [metric]) is loader
    for batch in batches:
        metric.process(None, batch)
    return metric.evaluate()


def maps(seed: int, count: int) -> Tensor:
    return torch.randint(0, 3, (count, 4, 5), generator=torch.Generator().manual_seed(seed))


class TestTranslationScores:
    def test_the_error_is_in_the_range_of_grey_values(self) -> None:
        real = [torch.full((3, 2, 2), 100.0), torch.full((3, 2, 2), 20.0)]
        made = [torch.full((3, 2, 2), 151.0), torch.full((3, 2, 2), 20.4)]  # 20.4 is written as 20
        batches = [[{"img_b": r, "fake_b": m}] for r, m in zip(real, made, strict=True)]
        assert evaluate(TranslationScores("b"), batches) == {"b/mae": pytest.approx(51 / 255 / 2)}

    def test_agreement_is_with_what_is_read_in_the_target(self) -> None:
        class Brightest(FeatureNetwork):
            """The class is the brightest channel of RGB."""

            def __init__(self) -> None:
                super().__init__("brightest", "none")

            def forward(self, images: Tensor) -> FeaturesAndProbs:
                means = images.float().mean(dim=(2, 3))
                return FeaturesAndProbs(means, means.softmax(1))

        def sample(made: int, real: int) -> dict[str, Tensor]:
            return {f"{kind}_b": painted(torch.full((2, 2), c)) for kind, c in (("fake", made), ("img", real))}

        batches = [[sample(0, 0), sample(1, 2)], [sample(2, 2), sample(1, 1)]]
        scores = evaluate(TranslationScores("b", network=Brightest(), prefix="x"), batches)
        assert scores["x/class_agreement"] == 0.75
        assert scores["x/mae"] == pytest.approx(2 / 3 / 4)  # one of four is wrong in two of three channels


class TestSegmentationScores:
    def test_scores_are_over_all_pixels_of_all_images(self) -> None:
        labels, made = maps(0, 5), maps(1, 5)
        made[0] = labels[0]
        labels[1, :2] = 255
        samples = [{"img_label": painted(t), "fake_photo": painted(m), "img_photo": painted(t)}
                   for t, m in zip(labels, made, strict=True)]  # fmt: skip
        metric = SegmentationScores("photo", "label", dict(type="colors", colors=COLORS[:3]), colors=COLORS, prefix="s")
        scores = evaluate(metric, [samples[:2], samples[2:]])
        for name, value in segmentation_scores(confusion_matrix(labels, made, 3)).items():
            assert scores[f"s/{name}"] == pytest.approx(value)
        assert [scores[f"s/real_{name}"] for name in ("pixel_accuracy", "class_accuracy", "mean_iou")] == [1, 1, 1]
