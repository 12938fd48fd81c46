"""The arms of the study on CIFAR-10 differ by the negatives alone and are measured alike."""

from __future__ import annotations

from mmengine import Config

from nda_mm.evaluation import FrechetDistance
from nda_mm.negatives import build_negative
from nda_mm.registry import METRICS
from nda_mm.studies.comparison import budget
from nda_mm.utils.files import recipe_path
from nda_mm.utils.schedules import as_schedule

ARMS = ["", "_warmup", "_leak", "_stitch", "_cutout", "_mixup", "_cutmix"]


def arm(name: str) -> Config:
    return Config.fromfile(recipe_path(f"nda_biggan_cifar10{name}.py"))


def test_arms_differ_by_their_negatives_and_end_with_the_papers_weight() -> None:
    plain = Config.fromfile(recipe_path("biggan_cifar10.py"))
    negatives = set()
    for name in ARMS:
        config = arm(name)
        assert budget(config) == budget(plain)
        negatives.add(repr(build_negative(config.model.negative)))
        weight = as_schedule(config.model.fake_weight)
        assert weight(5_000) == weight(97_499) == 0.25
        assert weight(0) == (1.0 if name == "_warmup" else 0.25)
    assert len(negatives) == len(ARMS) - 1  # the warm-up's is the first's


def test_checkpoints_are_measured_against_both_splits() -> None:
    recipe = arm("")
    for evaluator, splits in ((recipe.val_evaluator, ["test"]), (recipe.test_evaluator, ["test", "train"])):
        metrics = [METRICS.build(dict(metric)) for metric in evaluator.metrics]
        assert all(isinstance(metric, FrechetDistance) for metric in metrics)
        for metric in metrics:
            assert (metric.fake_nums, metric.keep, metric.sample_model) == (10_000, 10_000, "ema")
            assert (metric.batch_statistics, metric.real_nums, metric.seed) == (True, -1, 0)
        assert [(each.real_set or recipe.test_dataloader.dataset)["split"] for each in metrics] == splits
    assert recipe.test_evaluator.metrics[1].prefix == "classifier_cifar10_train"
