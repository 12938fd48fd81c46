"""The recipes of anomaly detection: models of the GAN recipes, and the outside sets that the paper and others use."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine import Config

from nda_mm.datasets.images.ood_sets import CORRUPTIONS, SEVERITIES
from nda_mm.evaluation import OODMetric
from nda_mm.registry import DATASETS, METRICS
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


@pytest.mark.parametrize(
    "name", ["openood_cifar10", "nda_openood_cifar10", "openood_cifar100", "openood_biggan_cifar10"]
)
def test_openoods_recipes_test_their_model_on_its_groups(name: str) -> None:
    ood = Config.fromfile(recipe_path(f"ood_{name}")).to_dict()
    kind, data = ("biggan", "cifar10") if "biggan" in name else ("classifier", name.split("_")[-1])
    model = Config.fromfile(recipe_path(f"{'nda_' if name.startswith('nda_') else ''}{kind}_{data}")).to_dict()
    added = TESTS | {"test_dataloader", "images", "corruptions", "openood"}
    assert {key: value for key, value in ood.items() if key not in added} == {
        key: value for key, value in model.items() if key not in added
    }
    (cfg,) = ood["test_evaluator"]["metrics"]
    metric = METRICS.build(dict(cfg))
    groups: dict[str, list[str]] = {}
    for each in metric.ood_cfg:
        groups.setdefault(each.split("/")[0], []).append(each.split("/")[1])
    corruptions = groups.pop("cifar10_c", [])
    near = {"cifar10": "cifar100", "cifar100": "cifar10"}[data]
    assert groups == dict(near=[near, "tin"], far=["mnist", "svhn", "texture", "places365"])
    assert (len(corruptions), metric.apart) == ((95, ("cifar10_c",)) if data == "cifar10" else (0, ()))
    assert metric.score == ("discriminator" if kind == "biggan" else "msp")
    folder = Path(f"data/openood/benchmark_imglist/{data}")
    assert DATASETS.build(dict(metric.inside_cfg, lazy_init=True)).list_file == folder / f"test_{data}.txt"
    assert DATASETS.build(dict(metric.bank_cfg, lazy_init=True)).list_file == folder / f"train_{data}.txt"
