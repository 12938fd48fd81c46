"""The arms of the study on CIFAR-10 differ by the negatives alone and are measured alike."""

from __future__ import annotations

from mmengine import Config

from nda_mm.evaluation import FrechetDistance
from nda_mm.negatives import build_negative
from nda_mm.registry import METRICS
from nda_mm.studies.configs import budget
from nda_mm.utils.files import recipe_path
from nda_mm.utils.schedules import as_schedule

ARMS = ["", "_warmup", "_leak", "_stitch", "_cutout", "_mixup", "_cutmix"]


def arm(name: str) -> Config:
    return Config.fromfile(recipe_path(f"nda_biggan_cifar10{name}.py"))


def test_all_arms_have_one_budget_and_negatives_of_their_own() -> None:
    plain = Config.fromfile(recipe_path("biggan_cifar10.py"))
    assert all(budget(arm(name)) == budget(plain) for name in ARMS)
    negatives = [repr(build_negative(arm(name).model.negative)) for name in ARMS if name != "_warmup"]
    assert len(set(negatives)) == len(ARMS) - 1


def test_the_weight_of_the_generated_images_is_the_papers_or_comes_to_it() -> None:
    for name in ARMS:
        weight = as_schedule(arm(name).model.fake_weight)
        assert weight(5_000) == weight(97_499) == 0.25
        assert weight(0) == (1.0 if name == "_warmup" else 0.25)


def test_checkpoints_are_measured_against_both_splits() -> None:
    recipe = arm("")
    for evaluator, splits in ((recipe.val_evaluator, ["test"]), (recipe.test_evaluator, ["test", "train"])):
        metrics = [METRICS.build(dict(metric)) for metric in evaluator.metrics]
        found = []
        for metric in metrics:
            assert isinstance(metric, FrechetDistance)
            assert (metric.fake_nums, metric.keep, metric.sample_model) == (10_000, 10_000, "ema")
            assert (metric.batch_statistics, metric.real_nums, metric.seed) == (True, -1, 0)
            found.append((metric.real_set or recipe.test_dataloader.dataset)["split"])
        assert found == splits
    assert recipe.test_evaluator.metrics[1].prefix == "classifier_cifar10_train"
