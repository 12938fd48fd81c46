"""The metrics over a network in mmagic's own evaluator, on a real small BigGAN, against the pure functions."""

from __future__ import annotations

import copy

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from small_gan import (
    PACKED,
    PixelNetwork,
    build_gan,
    build_loader,
    evaluate,
    evaluate_in_two_processes,
    prepared,
    samples,
)
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.datasets import Digits
from nda_mm.evaluation import (
    ClassifierScore,
    ConditionalAccuracy,
    FeatureStatistics,
    FrechetDistance,
    KernelDistance,
    PrecisionRecall,
    RuleBreaks,
    classifier_score,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from nda_mm.registry import METRICS

pytest.importorskip("mmagic.models")

ORDER = torch.randperm(445, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return build_gan()


@pytest.fixture(scope="module")
def loader() -> DataLoader:
    return build_loader()


def reals(loader: DataLoader) -> Tensor:
    return torch.from_numpy(loader.dataset.images).permute(0, 3, 1, 2)


def distance(real: Tensor, fake: Tensor) -> float:
    first, second = FeatureStatistics().update(real), FeatureStatistics().update(fake)
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)


def test_frechet_distance_reports_others_with_it_in_one_pass(gan, loader):
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=100, kernel_nums=60, precision_recall_nums=10_000, k=5, score_splits=2)
    results = evaluate(metric, gan, loader)
    assert network.calls == -(-445 // 64) + -(-100 // 64)

    fake, real = network(samples(gan, 100)[0]), network(reals(loader))
    mean, std = classifier_score(fake.probabilities, splits=2)
    precision, recall = precision_recall(real.features[ORDER[:100]], fake.features, k=5)
    assert results == {
        "pixels/frechet": pytest.approx(distance(real.features, fake.features), rel=1e-9),
        "pixels/kernel": pytest.approx(kernel_distance(real.features[ORDER[:60]], fake.features[:60]), rel=1e-6),
        "pixels/precision": precision,
        "pixels/recall": recall,
        "pixels/score": pytest.approx(mean),
        "pixels/score_std": pytest.approx(std),
    }


def test_metrics_with_equal_settings_share_one_pass_and_give_what_they_give_alone(gan, loader):
    network, settings = PixelNetwork(), dict(fake_nums=100)
    metrics = [
        FrechetDistance(network, kernel_nums=0, score_splits=0, **settings),
        KernelDistance(network, nums=60, **settings),
        PrecisionRecall(network, nums=80, **settings),
        ClassifierScore(network, **settings),
        ConditionalAccuracy(network, **settings),
        RuleBreaks(network, valid=[1, 2], **settings),
    ]
    evaluator = prepared(metrics, gan, loader)
    shared = evaluator.evaluate()
    assert network.calls == -(-445 // 64) + -(-100 // 64)
    alone = {}
    for metric in metrics:
        alone |= evaluate(metric, gan, loader)
    assert alone == shared
    assert len(shared) == 9

    # In the next evaluation the samples are new, the real images are not looked at again.
    evaluator = prepared(metrics, gan, loader)
    evaluator.evaluate()
    network.calls = 0
    altered = copy.deepcopy(gan)
    for parameter in altered.generator_ema.parameters():
        parameter.data.mul_(1.1)
    for metric in metrics:
        metric._model = altered
    evaluator.prepare_samplers(altered, loader)
    assert evaluator.evaluate() != shared
    assert network.calls == -(-100 // 64)


def test_metrics_with_other_samples_share_nothing(gan, loader):
    network = PixelNetwork()
    settings = dict(network=network, fake_nums=90)
    metrics = [ConditionalAccuracy(**settings), ConditionalAccuracy(**settings, seed=1, prefix="other")]
    results = prepared(metrics, gan, loader).evaluate()
    assert network.calls == 2 * 2
    images, labels = samples(gan, 90)
    right = network(images).probabilities.argmax(dim=1) == labels
    assert results["pixels/conditional_accuracy"] == pytest.approx(right.float().mean().item())
    worst = min(right[labels == label].float().mean().item() for label in range(10))
    assert results["pixels/conditional_accuracy_worst"] == pytest.approx(worst)
    assert set(results) == {f"{p}/conditional_accuracy{w}" for p in ("pixels", "other") for w in ("", "_worst")}


@pytest.mark.gpu
def test_all_values_are_computed_where_the_model_is(gan, loader):
    settings = dict(fake_nums=100, kernel_nums=50, precision_recall_nums=100, batch_statistics=True)
    expected = evaluate(FrechetDistance(PixelNetwork(), **settings), gan, loader)
    found = evaluate(FrechetDistance(PixelNetwork(), **settings), copy.deepcopy(gan).to("cuda"), loader)
    # Another device rounds a few pixels to the next level.
    assert found == pytest.approx(expected, rel=1e-2, abs=0.02)


@pytest.mark.parametrize(
    ("settings", "split", "sampling"),
    [
        (dict(real_set=dict(type="nda_mm.Digits", split="train", size=16, **PACKED), prefix="train"), "train", {}),
        (dict(batch_statistics=True), "test", dict(use_batch_statistics=True, batch_size=64)),
        (dict(sample_model="orig"), "test", dict(sample_model="orig")),
    ],
)
def test_real_images_generator_and_statistics_are_those_asked_for(gan, loader, settings, split, sampling):
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=70, kernel_nums=0, score_splits=0, **settings)
    images = torch.from_numpy(Digits(split=split, size=16).images).permute(0, 3, 1, 2)
    expected = distance(network(images).features, network(samples(gan, 70, **sampling)[0]).features)
    name = f"{settings.get('prefix', 'pixels')}/frechet"
    assert evaluate(metric, gan, loader) == {name: pytest.approx(expected, rel=1e-9)}


def test_an_evaluation_leaves_model_and_rng_alone_and_repeats_exactly(gan, loader):
    before, state = copy.deepcopy(gan.state_dict()), torch.get_rng_state()
    metric = FrechetDistance(PixelNetwork(), fake_nums=50, batch_statistics=True)
    first = evaluate(metric, gan, loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    calls = metric.network.calls
    assert metric.evaluate() == first
    assert metric.network.calls == calls + 1  # the real images are not looked at again


def test_rule_breaks_equal_counting_in_generated_and_in_real_images(gan, loader):
    network = PixelNetwork()

    def broken(images: Tensor) -> float:
        read = network(images).probabilities.argmax(dim=1).tolist()
        return sum(each not in (2, 3, 4) for each in read) / len(read)

    made, real = broken(samples(gan, 100)[0]), broken(reals(loader))
    assert len({0.0, 1.0, made, real}) == 4
    assert evaluate(RuleBreaks(network, fake_nums=100, valid=[4, 2, 3]), gan, loader) == {
        "pixels/rule_broken": pytest.approx(made),
        "pixels/rule_broken_real": pytest.approx(real),
    }


def test_built_from_a_config_in_any_scope():
    cfg = dict(type="nda_mm.FrechetDistance", network=dict(type="mmpretrain", config="absent.py"), fake_nums=10)
    with DefaultScope.overwrite_default_scope("mmagic"):
        metric = Evaluator([cfg]).metrics[0]  # the network is built when it is first used
    with pytest.raises(FileNotFoundError, match=r"absent\.py"):
        _ = metric.network
    assert isinstance(METRICS.build({**cfg, "type": "ClassAgreement"}), ConditionalAccuracy)


@pytest.mark.parametrize(
    "change",
    [
        dict(fake_nums=1),
        dict(sample_model="both"),
        dict(real_nums=0),
        dict(kernel_nums=-1),
        dict(precision_recall_nums=50, k=10),
        dict(real_set=dict(type="nda_mm.Digits")),
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(ValueError, match=list(change)[-1]):
        FrechetDistance(**{**dict(network=PixelNetwork(), fake_nums=10), **change})


def test_bad_use_is_refused(gan, loader, monkeypatch):
    with pytest.raises(ValueError, match="real_nums"):
        evaluate(FrechetDistance(PixelNetwork(), fake_nums=10, real_nums=446), gan, loader)
    with pytest.raises(ValueError, match="valid"):
        evaluate(RuleBreaks(PixelNetwork(), fake_nums=10, valid=[10]), gan, loader)
    monkeypatch.setattr(gan, "num_classes", 3)
    with pytest.raises(ValueError, match="classes"):
        evaluate(ConditionalAccuracy(PixelNetwork(), fake_nums=10), gan, loader)


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
    common = dict(network=PixelNetwork(), fake_nums=75)
    metrics = [
        dict(common, type="nda_mm.FrechetDistance", kernel_nums=10_000, precision_recall_nums=61, score_splits=2),
        dict(common, type="nda_mm.ConditionalAccuracy"),
        dict(common, type="nda_mm.RuleBreaks", valid=[1, 2, 3]),
    ]
    found = evaluate_in_two_processes(metrics, 1, tmp_path)
    expected = prepared(metrics, build_gan(), build_loader()).evaluate()
    assert found == [pytest.approx(expected, rel=1e-5)] * 2
