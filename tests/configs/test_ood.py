"""The recipes of anomaly detection: models of the GAN recipes, and the outside sets that the paper and others use."""

from __future__ import annotations

from mmengine import Config

from nda_mm.datasets.images.cifar10_c import CORRUPTIONS, SEVERITIES
from nda_mm.evaluation import OODMetric
from nda_mm.registry import METRICS
from nda_mm.utils.files import recipe_path

TESTS = {"test_evaluator", "test_cfg"}
ADDED = {"outside", "packed", "corruptions", "cifar10_c"}


def test_they_differ_from_the_model_by_the_test_alone() -> None:
    for name in ("biggan_digits", "nda_biggan_cifar10", "nda_classifier_digits"):
        model, ood = (Config.fromfile(recipe_path(f"{prefix}{name}")).to_dict() for prefix in ("", "ood_"))
        kept = {key: value for key, value in ood.items() if key not in ADDED | TESTS}
        assert kept == {key: value for key, value in model.items() if key not in TESTS}
        assert ood["test_evaluator"]["type"].removeprefix("mmagic.") == "Evaluator"
        (metric,) = ood["test_evaluator"]["metrics"]
        assert isinstance(METRICS.build(metric), OODMetric)


def test_cifar10s_sets_are_those_of_the_paper_and_every_corruption() -> None:
    found = OODMetric(Config.fromfile(recipe_path("ood_biggan_cifar10")).test_evaluator.metrics[0].outside).ood_cfg
    assert [name for name in found if "/" not in name] == ["svhn", "cifar100", "tiny_imagenet", "places365", "dtd"]
    corrupted = [
        (each["corruption"], each["severity"]) for name, each in found.items() if name.startswith("cifar10_c/")
    ]
    assert corrupted == [(corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES]
    assert found["cifar100"]["split"] == "test"
