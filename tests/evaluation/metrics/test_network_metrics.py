"""The metrics over a network in mmagic's own evaluator, on a real small BigGAN, against the pure functions."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
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
from nda_mm.evaluation.metrics import network_metrics
from nda_mm.evaluation.metrics.network_metrics import NetworkMetric
from nda_mm.evaluation.networks import FeatureNetwork, FeaturesAndProbs
from nda_mm.models.gans.sampling import sample_images
from nda_mm.registry import METRICS

apply_patches()
pytest.importorskip("mmagic.models")

ORDER = torch.randperm(445, generator=torch.Generator().manual_seed(0))


class PixelNetwork(FeatureNetwork):
    """Nine mean pixels as features, the brightest of ten rows as the class."""

    def __init__(self) -> None:
        super().__init__("pixels", "3x3 mean pixels")
        self.calls = 0

    def forward(self, images: Tensor) -> FeaturesAndProbs:
        self.calls += 1
        assert images.dtype == torch.uint8
        grey = images.float().mean(dim=1)
        features = nn.functional.adaptive_avg_pool2d(grey, 3).flatten(1)
        return FeaturesAndProbs(features, grey[:, 3:13].mean(dim=2).softmax(dim=1))


def build_gan() -> nn.Module:
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    generator = dict(
        type="BigGANGenerator",
        output_scale=16,
        noise_size=8,
        num_classes=10,
        with_shared_embedding=False,
        split_noise=False,
        auto_sync_bn=False,
        arch_cfg=dict(
            in_channels=[8, 8],
            out_channels=[8, 8],
            upsample=[True, True],
            resolution=[8, 16],
            attention=[False, False],
        ),
    )
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = ROOT_MODELS.build(
            dict(
                type="BigGAN",
                num_classes=10,
                data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
                generator=generator,
                discriminator=None,
                ema_config=dict(type="ExponentialMovingAverage"),
            )
        )
    for parameter in model.generator.parameters():
        parameter.data.mul_(1.5)  # the two generators differ
    return model.eval()


def build_loader() -> DataLoader:
    with DefaultScope.overwrite_default_scope("mmagic"):
        data = Digits(split="test", size=16, pipeline=[dict(type="PackInputs")])
    return DataLoader(data, batch_size=32, collate_fn=pseudo_collate)


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return build_gan()


@pytest.fixture(scope="module")
def loader() -> DataLoader:
    return build_loader()


def reals(loader: DataLoader) -> Tensor:
    return torch.from_numpy(loader.dataset.images).permute(0, 3, 1, 2)


def prepared(metrics: list[NetworkMetric], gan: nn.Module, loader: DataLoader) -> Evaluator:
    """As mmagic's loop does it, with mmagic's own evaluator."""
    from mmagic.evaluation.evaluator import Evaluator as MagicEvaluator

    evaluator = MagicEvaluator(metrics)
    evaluator.prepare_metrics(gan, loader)
    for _, sampler in evaluator.prepare_samplers(gan, loader):
        assert len(sampler) == 0
    return evaluator


def evaluate(metric: NetworkMetric, gan: nn.Module, loader: DataLoader) -> dict[str, float]:
    return prepared([metric], gan, loader).evaluate()


def samples(gan: nn.Module, count: int, **kwargs) -> tuple[Tensor, Tensor]:
    noise = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 10
    return sample_images(gan, noise, labels, **kwargs), labels


def distance(real: Tensor, fake: Tensor) -> float:
    first, second = FeatureStatistics().update(real), FeatureStatistics().update(fake)
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)


def test_frechet_distance_gives_all_that_its_settings_ask_for_in_one_pass(gan, loader):
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
    assert metric.protocol() == (
        "3x3 mean pixels; 100 samples of the EMA of the generator, running statistics, seed 0; "
        "445 real images of Digits 'test'; precision and recall of 100 each, k = 5"
    )


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
    with torch.no_grad():
        altered = copy.deepcopy(gan)
        for parameter in altered.generator_ema.parameters():
            parameter.mul_(1.1)
    for metric in metrics:
        metric._model = altered
    evaluator.prepare_samplers(altered, loader)
    assert evaluator.evaluate() != shared
    assert network.calls == -(-100 // 64)


def test_metrics_with_other_samples_share_nothing(gan, loader):
    network = PixelNetwork()
    metrics = [
        ConditionalAccuracy(network, fake_nums=90),
        ConditionalAccuracy(network, fake_nums=90, seed=1, prefix="other"),
    ]
    results = prepared(metrics, gan, loader).evaluate()
    assert network.calls == 2 * 2
    images, labels = samples(gan, 90)
    right = network(images).probabilities.argmax(dim=1) == labels
    assert results["pixels/conditional_accuracy"] == pytest.approx(right.float().mean().item())
    worst = min(right[labels == label].float().mean().item() for label in range(10))
    assert results["pixels/conditional_accuracy_worst"] == pytest.approx(worst)
    assert set(results) == {f"{p}/conditional_accuracy{w}" for p in ("pixels", "other") for w in ("", "_worst")}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_all_values_are_computed_where_the_model_is(gan, loader, device):
    settings = dict(fake_nums=100, kernel_nums=50, precision_recall_nums=100, batch_statistics=True)
    expected = evaluate(FrechetDistance(PixelNetwork(), **settings), gan, loader)
    found = evaluate(FrechetDistance(PixelNetwork(), **settings), copy.deepcopy(gan).to(device), loader)
    # Another device rounds a few pixels to the next level.
    assert found == pytest.approx(expected, rel=1e-2, abs=0.02)


def test_another_set_of_real_images_under_another_name(gan, loader):
    train = dict(type="nda_mm.Digits", split="train", size=16, pipeline=[dict(type="PackInputs")])
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=70, real_set=train, prefix="pixels_train", score_splits=0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        results = evaluate(metric, gan, loader)
    assert set(results) == {"pixels_train/frechet", "pixels_train/kernel"}
    images = torch.from_numpy(Digits(split="train", size=16).images).permute(0, 3, 1, 2)
    expected = distance(network(images).features, network(samples(gan, 70)[0]).features)
    assert results["pixels_train/frechet"] == pytest.approx(expected, rel=1e-9)
    assert metric.protocol().endswith(f"{len(images)} real images of Digits 'train'")


def test_both_generators_and_both_statistics_can_be_measured(gan, loader):
    values = {
        (which, batch): evaluate(
            FrechetDistance(PixelNetwork(), fake_nums=70, sample_model=which, batch_statistics=batch), gan, loader
        )["pixels/frechet"]
        for which in ("ema", "orig")
        for batch in (False, True)
    }
    assert len({round(value, 6) for value in values.values()}) == 4
    images, _ = samples(gan, 70, sample_model="orig", use_batch_statistics=True, batch_size=64)
    network = PixelNetwork()
    expected = distance(network(reals(loader)).features, network(images).features)
    assert values["orig", True] == pytest.approx(expected, rel=1e-9)


def test_an_evaluation_leaves_model_and_rng_alone_and_repeats_exactly(gan, loader):
    before, state = copy.deepcopy(gan.state_dict()), torch.get_rng_state()
    metric = FrechetDistance(PixelNetwork(), fake_nums=50, batch_statistics=True)
    first = evaluate(metric, gan, loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    calls = metric.network.calls
    assert metric.evaluate() == first
    assert metric.network.calls == calls + 1  # the real images are not looked at again


def test_too_few_samples_are_allowed_with_a_warning(gan, loader, monkeypatch):
    said = []
    monkeypatch.setattr(network_metrics, "print_log", lambda message, logger, level: said.append((level, message)))
    assert evaluate(FrechetDistance(PixelNetwork(), fake_nums=8), gan, loader)["pixels/frechet"] > 0
    assert len(said) == 1
    assert said[0][0] == logging.WARNING
    assert said[0][1].startswith("8 generated images are too few for 9 features")


class Brightness(FeatureNetwork):
    """Reads the class 0, 1 or 2 from how bright an image is."""

    def __init__(self, bounds: tuple[float, float]) -> None:
        super().__init__("ink", "mean brightness")
        self.bounds = torch.tensor(bounds)

    def forward(self, images: Tensor) -> FeaturesAndProbs:
        mean = images.float().mean(dim=(1, 2, 3))
        read = (mean[:, None] > self.bounds).sum(dim=1)
        return FeaturesAndProbs(mean[:, None], nn.functional.one_hot(read, 3).float())


def test_rule_breaks_equal_counting_in_generated_and_in_real_images(gan, loader):
    made = samples(gan, 100)[0].float().mean(dim=(1, 2, 3))
    real = reals(loader).float().mean(dim=(1, 2, 3))
    every = torch.cat([made, real]).sort().values
    bounds = (every[40].item(), every[130].item())

    def share_of_class_1(values: Tensor) -> float:
        return ((values > bounds[0]) & (values <= bounds[1])).double().mean().item()

    metric = RuleBreaks(Brightness(bounds), fake_nums=100, valid=[1])
    assert evaluate(metric, gan, loader) == {
        "ink/rule_broken": pytest.approx(1 - share_of_class_1(made)),
        "ink/rule_broken_real": pytest.approx(1 - share_of_class_1(real)),
    }
    low, high = (made <= bounds[0]).double().mean().item(), (made > bounds[1]).double().mean().item()
    assert f"valid [1]; read 0: {low:.3f}, 1: {share_of_class_1(made):.3f}, 2: {high:.3f}" in metric.protocol()
    both = evaluate(RuleBreaks(Brightness(bounds), fake_nums=100, valid=[2, 0]), gan, loader)
    assert both["ink/rule_broken"] == pytest.approx(share_of_class_1(made))


def test_built_from_a_config_in_any_scope():
    cfg = dict(type="nda_mm.FrechetDistance", network=dict(type="mmpretrain", config="absent.py"), fake_nums=10)
    with DefaultScope.overwrite_default_scope("mmagic"):
        metric = Evaluator([cfg]).metrics[0]  # the network is built when it is first used
    with pytest.raises(FileNotFoundError, match=r"absent\.py"):
        _ = metric.network
    assert isinstance(METRICS.build({**cfg, "type": "ClassAgreement"}), ConditionalAccuracy)
    with pytest.warns(FutureWarning, match="neighbours"):
        old = METRICS.build(dict(cfg, precision_recall_nums=9, neighbours=2))
    assert [each.k for each in old.others if isinstance(each, PrecisionRecall)] == [2]


@pytest.mark.parametrize(
    "change",
    [
        dict(fake_nums=1),
        dict(batch_size=0),
        dict(sample_model="both"),
        dict(real_nums=0),
        dict(kernel_nums=-1),
        dict(score_splits=-1),
        dict(precision_recall_nums=3),
        dict(precision_recall_nums=50, k=10),
        dict(precision_recall_nums=50, k=0),
        dict(real_set=dict(type="nda_mm.Digits")),
    ],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(ValueError, match=list(change)[-1]):
        FrechetDistance(**{**dict(network=PixelNetwork(), fake_nums=10), **change})


def test_bad_use_is_refused(gan, loader):
    with pytest.raises(RuntimeError, match="not prepared"):
        FrechetDistance(PixelNetwork(), fake_nums=10).evaluate()
    with pytest.raises(ValueError, match="real_nums"):
        evaluate(FrechetDistance(PixelNetwork(), fake_nums=10, real_nums=446), gan, loader)
    other = copy.copy(gan)
    other.num_classes = 3
    with pytest.raises(ValueError, match="the model has 3 classes and pixels has 10"):
        evaluate(ConditionalAccuracy(PixelNetwork(), fake_nums=10), other, loader)
    with pytest.raises(ValueError, match="valid"):
        RuleBreaks(PixelNetwork(), fake_nums=10, valid=[])
    with pytest.raises(ValueError, match="valid"):
        evaluate(RuleBreaks(PixelNetwork(), fake_nums=10, valid=[10]), gan, loader)


def _in_two_processes(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        torch.save(_results_of_a_small_evaluation(), f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def _results_of_a_small_evaluation() -> dict[str, float]:
    network = PixelNetwork()
    metrics = [
        FrechetDistance(network, fake_nums=75, kernel_nums=10_000, precision_recall_nums=61, score_splits=2),
        ConditionalAccuracy(network, fake_nums=75),
        RuleBreaks(network, fake_nums=75, valid=[1, 2, 3]),
    ]
    return prepared(metrics, build_gan(), build_loader()).evaluate()


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
    torch.multiprocessing.start_processes(_in_two_processes, args=(str(tmp_path),), nprocs=2, start_method="fork")
    expected = _results_of_a_small_evaluation()
    for rank in (0, 1):
        results = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert results == pytest.approx(expected, rel=1e-5)
