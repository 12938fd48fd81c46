"""The recipes of anomaly detection: models of the GAN recipes, and the outside sets that the paper and others use."""

from __future__ import annotations

from typing import Any

import pytest
from mmengine import Config

from nda_mm.datasets.images.cifar10_c import CORRUPTIONS, SEVERITIES
from nda_mm.evaluation import OODMetric
from nda_mm.registry import METRICS
from nda_mm.utils.files import recipe_path

RECIPES = [
    "biggan_digits",
    "nda_biggan_digits",
    "biggan_cifar10",
    "nda_biggan_cifar10",
    "classifier_digits",
    "nda_classifier_digits",
]
TESTS = {"test_evaluator", "test_cfg"}


@pytest.mark.parametrize("name", RECIPES)
def test_they_differ_from_the_model_by_the_test_alone(name: str) -> None:
    model, ood = (Config.fromfile(recipe_path(f"{prefix}{name}")).to_dict() for prefix in ("", "ood_"))
    added = {"outside", "packed", "corruptions", "cifar10_c"}
    assert {key: value for key, value in ood.items() if key not in added | TESTS} == {
        key: value for key, value in model.items() if key not in TESTS
    }
    assert ood["test_evaluator"]["type"].removeprefix("mmagic.") == "Evaluator"
    metrics = ood["test_evaluator"]["metrics"]
    assert [metric["type"] for metric in metrics] == ["nda_mm.OODMetric"]
    assert isinstance(METRICS.build(metrics[0]), OODMetric)


def sets(name: str) -> dict[str, Any]:
    metric = Config.fromfile(recipe_path(name)).test_evaluator.metrics[0]
    return OODMetric(metric.outside).ood_cfg


def test_cifar10s_sets_are_those_of_the_paper_and_every_corruption() -> None:
    found = sets("ood_biggan_cifar10")
    assert [name for name in found if "/" not in name] == ["svhn", "cifar100", "tiny_imagenet", "places365", "dtd"]
    corrupted = [
        (each["corruption"], each["severity"]) for name, each in found.items() if name.startswith("cifar10_c/")
    ]
    assert corrupted == [(corruption, severity) for corruption in CORRUPTIONS for severity in SEVERITIES]
    assert found["cifar100"]["split"] == "test"
