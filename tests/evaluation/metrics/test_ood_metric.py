"""The metric in mmagic's own evaluator on a real small BigGAN: values, names, files, ranks, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_gan import PACKED, build_gan, build_loader, evaluate, evaluate_in_two_processes
from torch import nn
from torch.utils.data import DataLoader

from nda_mm.datasets import Digits, OODDigits
from nda_mm.evaluation.detection import MEASURES, bootstrap_intervals, detection_measures
from nda_mm.evaluation.metrics.ood_metric import OODMetric

pytest.importorskip("mmagic.models")

LETTERS = dict(type="nda_mm.OODDigits", kind="letters", size=16, every=5, **PACKED)
TURNED = dict(type="nda_mm.OODDigits", kind="rotated", size=16, every=7, **PACKED)


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return build_gan()


@pytest.fixture(scope="module")
def loader() -> DataLoader:
    return build_loader(every=3)


@torch.no_grad()
def written_out(gan: nn.Module, images: np.ndarray) -> np.ndarray:
    """Scores of uint8 RGB images: scaled to [-1, 1], as BGR, minus the greatest logit over the classes."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).flip(1).float() / 127.5 - 1
    gan.eval()
    logits = [gan.discriminator(pixels, label=torch.full((len(pixels),), y)) for y in range(10)]
    return -torch.cat(logits, dim=1).max(dim=1).values.double().numpy()


def test_values_are_those_of_the_scores_written_out(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    metric = OODMetric(dict(letters=LETTERS, turned=TURNED), resamples=50, out_dir=str(tmp_path), batch_size=64)
    found = evaluate(metric, gan, loader)
    inside = written_out(gan, Digits(split="test", size=16, every=3).images)
    letters = written_out(gan, OODDigits(kind="letters", size=16, every=5).images)
    turned = written_out(gan, OODDigits(kind="rotated", size=16, every=7).images)
    first, second = detection_measures(inside, letters), detection_measures(inside, turned)
    intervals = bootstrap_intervals(inside, letters, resamples=50)
    content = json.loads((tmp_path / "results.json").read_text())
    for measure in MEASURES:
        values = [found.pop(f"ood/{name}/{measure}") for name in ("letters", "turned", "mean")]
        expected = [first[measure], second[measure], (first[measure] + second[measure]) / 2]
        assert values == pytest.approx(expected, abs=1e-3)  # a rounded logit may change places with its neighbour
        assert content["sets"][0]["intervals"][measure] == pytest.approx(intervals[measure], abs=1e-3)
    assert not found
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.csv", "scores.png", "roc.png"}


def test_neither_batch_size_nor_labels_nor_randomness_play_a_part(gan: nn.Module, loader: DataLoader, tmp_path) -> None:
    gan.train()
    state = torch.get_rng_state()
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    settings = dict(resamples=0, plots=False, out_dir=str(tmp_path))
    first = evaluate(OODMetric(dict(a=LETTERS), batch_size=7, **settings), gan, loader)
    loader.dataset.labels[:] = 0
    assert evaluate(OODMetric(dict(a=LETTERS), batch_size=500, **settings), gan, loader) == pytest.approx(
        first, abs=1e-3
    )
    assert gan.training
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items())


def test_families_and_a_choice_of_sets(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    absent = dict(type="nda_mm.SVHN", data_root=str(tmp_path / "absent"), **PACKED)
    outside = dict(letters=LETTERS, svhn=absent, digits=dict(turned=TURNED, drawn=LETTERS))
    settings = dict(resamples=0, plots=False, out_dir=str(tmp_path / "out"), prefix="x")
    found = evaluate(OODMetric(outside, only=["letters", "digits"], **settings), gan, loader)
    assert set(found) == {f"x/{name}/{measure}" for name in ("letters", "digits", "mean") for measure in MEASURES}
    members = {each["name"]: each["values"] for each in json.loads((tmp_path / "out/results.json").read_text())["sets"]}
    assert list(members) == ["letters", "digits/turned", "digits/drawn"]
    family = (members["digits/turned"]["auroc"] + members["digits/drawn"]["auroc"]) / 2
    assert found["x/digits/auroc"] == pytest.approx(family)
    assert found["x/mean/auroc"] == pytest.approx((family + members["letters"]["auroc"]) / 2)
    assert list(OODMetric(outside, only="svhn").ood_cfg) == ["svhn"]
    assert list(OODMetric(outside, only=["digits/drawn", "letters"]).ood_cfg) == ["digits/drawn", "letters"]


def test_every_set_that_cannot_be_used_is_named(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    outside = dict(
        letters=LETTERS,
        svhn=dict(type="nda_mm.SVHN", data_root=str(tmp_path / "absent")),
        large=dict(LETTERS, size=32),
        none=dict(LETTERS, indices=0),
        unknown=dict(type="nda_mm.Absent"),
        both=dict(turned=TURNED, absent=dict(type="nda_mm.SVHN", data_root=str(tmp_path / "absent"))),
    )
    with pytest.raises(ValueError, match="5 of 7") as caught:
        evaluate(OODMetric(outside), gan, loader)
    message = str(caught.value)
    for line in (
        r"only=\[",
        rf"svhn, both/absent: .*{tmp_path}/absent/test_32x32.mat",
        r"large: .*\(3, 32, 32\).*\(3, 16, 16\)",
        "none: .*empty",
        "unknown: .*Absent",
    ):
        assert re.search(line, message), line


def test_a_broken_discriminator_is_refused(loader: DataLoader, tmp_path: Path) -> None:
    gan = build_gan()
    metric = OODMetric(dict(letters=LETTERS), out_dir=str(tmp_path))
    with torch.no_grad():
        gan.discriminator.decision.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="149 of 149 scores of the ID set"):
        evaluate(metric, gan, loader)
    gan.discriminator.add_module("StdDevLayer", type("MyStddevLayer", (nn.Module,), {})())
    with pytest.raises(ValueError, match="batch_size must be 1.*StdDevLayer"):
        evaluate(metric, gan, loader)
    gan.discriminator = None
    with pytest.raises(ValueError, match="BigGAN has no discriminator"):
        evaluate(metric, gan, loader)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (dict(outside={}), "outside"),
        (dict(outside=dict(a=dict(b=3))), "'a/b'"),
        (dict(outside=dict(mean=LETTERS)), "'mean'"),
        (dict(only=["svhn"]), "only"),
        (dict(resamples=-1), "resamples"),
        (dict(class_reduction="min"), "class_reduction"),
        (dict(score="odin"), "score"),
        (dict(score="knn"), "bank"),
        (dict(score="knn", bank=LETTERS, k=0), "k=0"),
        (dict(apart=["svhn"]), "apart"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        OODMetric(**{"outside": dict(letters=LETTERS), **settings})


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path: Path) -> None:
    cfg = dict(type="nda_mm.OODMetric", outside=dict(letters=LETTERS, turned=TURNED), resamples=20, plots=False)
    found = evaluate_in_two_processes([dict(cfg, out_dir=str(tmp_path / "two"))], 3, tmp_path)
    expected = evaluate(dict(cfg, out_dir=str(tmp_path / "one")), build_gan(), build_loader(every=3))
    assert found == [pytest.approx(expected, abs=1e-3)] * 2
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert [each["count"] for each in one["sets"]] == [each["count"] for each in two["sets"]] == [89, 64]
