"""The metric in mmagic's own evaluator on a real small BigGAN: values, names, files, ranks, and what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
from nda_mm.datasets import Digits, OutlyingDigits
from nda_mm.evaluation.detection import MEASURES, bootstrap_intervals, detection_measures
from nda_mm.evaluation.metrics.ood_metric import OODMetric

apply_patches()
pytest.importorskip("mmagic.models")
pytest.importorskip("sklearn")

PACKED = dict(pipeline=[dict(type="mmagic.PackInputs")])
LETTERS = dict(type="nda_mm.OutlyingDigits", kind="letters", size=16, every=5, **PACKED)
TURNED = dict(type="nda_mm.OutlyingDigits", kind="rotated", size=16, every=7, **PACKED)
WIDE = dict(in_channels=[3, 4], out_channels=[4, 8], downsample=[True, False], resolution=[8, 8], attention=[False] * 2)


def build_gan(classes: int = 3) -> nn.Module:
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = ROOT_MODELS.build(
            dict(
                type="BigGAN",
                num_classes=classes,
                noise_size=8,
                data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
                generator=dict(
                    type="BigGANGenerator",
                    output_scale=16,
                    noise_size=8,
                    num_classes=classes,
                    with_shared_embedding=False,
                    split_noise=False,
                    auto_sync_bn=False,
                    arch_cfg=dict(
                        in_channels=[4] * 2, out_channels=[4] * 2, upsample=[True] * 2, resolution=[8, 16],
                        attention=[False] * 2,
                    ),
                ),
                discriminator=dict(
                    type="BigGANDiscriminator", input_scale=16, num_classes=classes, arch_cfg=WIDE,
                    init_cfg=dict(type="N02"),
                ),
            )
        )  # fmt: skip
    for parameter in model.discriminator.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return model


def build_loader() -> DataLoader:
    from mmengine.dataset import pseudo_collate

    data = Digits(split="test", size=16, every=3, **PACKED)
    return DataLoader(data, batch_size=32, collate_fn=pseudo_collate)


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return build_gan()


@pytest.fixture(scope="module")
def loader() -> DataLoader:
    return build_loader()


def evaluate(metric: OODMetric, gan: nn.Module, loader: DataLoader) -> dict[str, float]:
    """As mmagic's loop does it, with mmagic's own evaluator."""
    from mmagic.evaluation.evaluator import Evaluator

    evaluator = Evaluator([metric])
    evaluator.prepare_metrics(gan, loader)
    for _, sampler in evaluator.prepare_samplers(gan, loader):
        assert len(sampler) == 0
    return evaluator.evaluate()


@torch.no_grad()
def written_out(gan: nn.Module, images: np.ndarray) -> np.ndarray:
    """Scores of uint8 RGB images: scaled to [-1, 1], as BGR, the greatest logit of three classes, turned."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).flip(1).float() / 127.5 - 1
    gan.eval()
    logits = [gan.discriminator(pixels, label=torch.full((len(pixels),), y)) for y in range(3)]
    return -torch.cat(logits, dim=1).max(dim=1).values.double().numpy()


def test_values_are_those_of_the_scores_written_out(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    metric = OODMetric(dict(letters=LETTERS, turned=TURNED), resamples=50, out_dir=str(tmp_path), batch_size=64)
    found = evaluate(metric, gan, loader)
    inside = written_out(gan, Digits(split="test", size=16, every=3).images)
    outside = {
        name: written_out(gan, OutlyingDigits(kind=kind, size=16, every=every).images)
        for name, kind, every in (("letters", "letters", 5), ("turned", "rotated", 7))
    }
    expected = {name: detection_measures(inside, scores) for name, scores in outside.items()}
    means = {measure: sum(each[measure] for each in expected.values()) / 2 for measure in MEASURES}
    expected_values = {
        f"ood/{name}/{measure}": value for name, each in (expected | {"mean": means}).items()
        for measure, value in each.items()
    }  # fmt: skip
    assert found == pytest.approx(expected_values, abs=1e-3)  # a rounded logit may change places with its neighbour
    content = json.loads((tmp_path / "results.json").read_text())
    assert [(each["name"], each["count"]) for each in content["sets"]] == [("letters", 89), ("turned", 64)]
    intervals = bootstrap_intervals(inside, outside["letters"], resamples=50)
    for measure in MEASURES:
        assert content["sets"][0]["intervals"][measure] == pytest.approx(intervals[measure], abs=1e-3)
    assert content["protocol"]["inside_count"] == 149
    assert content["protocol"]["class_reduction"] == "max"
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
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.csv"}
    assert json.loads((tmp_path / "results.json").read_text())["sets"][0]["intervals"] == {}


def test_the_data_against_itself_is_chance(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    same = dict(type="nda_mm.Digits", split="test", size=16, every=3, **PACKED)
    found = evaluate(OODMetric(dict(same=same), resamples=0, plots=False, out_dir=str(tmp_path)), gan, loader)
    assert found["ood/same/auroc"] == pytest.approx(0.5)


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


def test_every_set_that_cannot_be_used_is_named(gan: nn.Module, loader: DataLoader, tmp_path: Path) -> None:
    outside = dict(
        letters=LETTERS,
        svhn=dict(type="nda_mm.SVHN", data_root=str(tmp_path / "absent")),
        large=dict(LETTERS, size=32),
        grey=dict(LETTERS, channels=1),
        none=dict(LETTERS, indices=0),
        unknown=dict(type="nda_mm.Absent"),
    )
    with pytest.raises(ValueError, match=r"5 of 6 OOD sets cannot be used\..*only=\[\.\.\.\]") as caught:
        evaluate(OODMetric(outside), gan, loader)
    message = str(caught.value)
    for line in (
        rf"svhn: .*{tmp_path}/absent/test_32x32.mat",
        r"large: its images reach the network as \(3, 32, 32\), those of the data as \(3, 16, 16\)",
        r"grey: its images reach the network as \(1, 16, 16\)",
        r"none: the data set nda_mm.OutlyingDigits is empty",
        r"unknown: .*Absent is not in",
    ):
        assert re.search(line, message), line


def test_a_broken_discriminator_is_refused(loader: DataLoader, tmp_path: Path) -> None:
    gan = build_gan()
    metric = OODMetric(dict(letters=LETTERS), out_dir=str(tmp_path))
    with torch.no_grad():
        gan.discriminator.decision.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="149 of 149 scores of the data"):
        evaluate(metric, gan, loader)
    gan.discriminator.add_module("StdDevLayer", type("MyStddevLayer", (nn.Module,), {})())
    with pytest.raises(ValueError, match=r"StdDevLayer.*batch_size=1"):
        evaluate(metric, gan, loader)
    gan.discriminator = None
    with pytest.raises(ValueError, match="BigGAN has no discriminator"):
        evaluate(metric, gan, loader)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (dict(outside={}), "outside"),
        (dict(outside=[LETTERS]), "outside"),
        (dict(outside=dict(a=3)), "'a'"),
        (dict(outside=dict(a={})), "'a'"),
        (dict(outside=dict(a=dict(b=3))), "'a/b'"),
        (dict(outside=dict(mean=LETTERS)), "'mean'"),
        (dict(outside={"a/b": LETTERS}), "'a/b'"),
        (dict(only=["svhn"]), r"only names \['svhn'\]"),
        (dict(only=[]), "only names nothing"),
        (dict(batch_size=0), "batch_size"),
        (dict(resamples=-1), "resamples"),
        (dict(class_reduction="min"), "class_reduction"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        OODMetric(**{"outside": dict(letters=LETTERS), **settings})


def test_unprepared_it_says_where_it_belongs() -> None:
    with pytest.raises(RuntimeError, match="OODMetric was not prepared"):
        OODMetric(dict(letters=LETTERS)).evaluate()


def _in_two_processes(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        metric = OODMetric(dict(letters=LETTERS, turned=TURNED), resamples=20, plots=False, out_dir=f"{folder}/two")
        torch.save(evaluate(metric, build_gan(), build_loader()), f"{folder}/{rank}.pt")
    finally:
        from nda_mm.engine.launch import end_processes

        end_processes()


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path: Path) -> None:
    # From a fresh process: to fork one in which torch's threads have run may leave them waiting for each other.
    subprocess.run([sys.executable, __file__, str(tmp_path)], check=True)
    metric = OODMetric(dict(letters=LETTERS, turned=TURNED), resamples=20, plots=False, out_dir=str(tmp_path / "one"))
    expected = evaluate(metric, build_gan(), build_loader())
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt", weights_only=True) == pytest.approx(expected, abs=1e-3)
    one, two = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "two"))
    assert [each["count"] for each in one["sets"]] == [each["count"] for each in two["sets"]] == [89, 64]


if __name__ == "__main__":
    torch.multiprocessing.start_processes(_in_two_processes, args=(sys.argv[1],), nprocs=2, start_method="fork")
