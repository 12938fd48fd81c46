"""The metrics in mmagic's own evaluation loop on a real small BigGAN, and over each kind of network."""

from __future__ import annotations

import copy
import logging

import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
from nda_mm.datasets import Digits
from nda_mm.evaluation import ClassAgreement, FeatureStatistics, FrechetDistance, frechet_distance
from nda_mm.evaluation.feature_networks import FeatureNetwork, Judgement, build_feature_network
from nda_mm.evaluation.kernel import classifier_score, kernel_distance
from nda_mm.evaluation.precision_recall import precision_recall
from nda_mm.generation import sample_images
from nda_mm.registry import METRICS
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmagic.models")
pytest.importorskip("sklearn")


class PixelNetwork(FeatureNetwork):
    """Nine mean pixels as features, the brightest of ten rows as the class: slow to break, easy to write out."""

    def __init__(self) -> None:
        super().__init__("pixels", "3x3 mean pixels")
        self.calls = 0

    def forward(self, images: Tensor) -> Judgement:
        self.calls += 1
        assert images.dtype == torch.uint8
        grey = images.float().mean(dim=1)
        features = nn.functional.adaptive_avg_pool2d(grey, 3).flatten(1)
        return Judgement(features, grey[:, 3:13].mean(dim=2).softmax(dim=1))


def _build_gan() -> nn.Module:
    from mmagic.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = ROOT_MODELS.build(
            dict(
                type="BigGAN",
                num_classes=10,
                data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
                generator=dict(
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
                ),
                discriminator=None,
                ema_config=dict(type="ExponentialMovingAverage"),
            )
        )
    for parameter in model.generator.parameters():
        parameter.data.mul_(1.5)  # the two generators differ
    return model.eval()


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return _build_gan()


def _build_loader() -> DataLoader:
    from mmengine.dataset import pseudo_collate

    with DefaultScope.overwrite_default_scope("mmagic"):
        data = Digits(split="test", size=16, pipeline=[dict(type="PackInputs")])
    return DataLoader(data, batch_size=32, collate_fn=pseudo_collate)


@pytest.fixture(scope="module")
def loader() -> DataLoader:
    return _build_loader()


def reals(loader: DataLoader) -> Tensor:
    return torch.from_numpy(loader.dataset.images).permute(0, 3, 1, 2)


def evaluate(metric: FrechetDistance | ClassAgreement, gan: nn.Module, loader: DataLoader) -> dict[str, float]:
    """As mmagic's loop does it, with mmagic's own evaluator."""
    from mmagic.evaluation.evaluator import Evaluator as MagicEvaluator

    evaluator = MagicEvaluator([metric])
    evaluator.prepare_metrics(gan, loader)
    for _, sampler in evaluator.prepare_samplers(gan, loader):
        assert len(sampler) == 0
    return evaluator.evaluate()


def samples(gan: nn.Module, count: int, **kwargs) -> tuple[Tensor, Tensor]:
    noise = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 10
    return sample_images(gan, noise, labels, **kwargs), labels


def test_results_equal_the_pure_functions(gan, loader, caplog):
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=100, kernel_nums=60, score_splits=2)
    results = evaluate(metric, gan, loader)

    images, _ = samples(gan, 100)
    fake, real = network(images), network(reals(loader))
    moments = [FeatureStatistics().update(each.features) for each in (real, fake)]
    expected = frechet_distance(moments[0].mean, moments[0].covariance, moments[1].mean, moments[1].covariance)
    assert results["pixels/frechet"] == pytest.approx(expected, rel=1e-9)
    order = torch.randperm(445, generator=torch.Generator().manual_seed(0))
    assert results["pixels/kernel"] == pytest.approx(
        kernel_distance(real.features[order[:60]], fake.features[:60]), rel=1e-6
    )
    mean, deviation = classifier_score(fake.probabilities, splits=2)
    assert results["pixels/score"] == pytest.approx(mean)
    assert results["pixels/score_std"] == pytest.approx(deviation)
    assert set(results) == {"pixels/frechet", "pixels/kernel", "pixels/score", "pixels/score_std"}


def test_precision_and_recall_are_of_equally_many_and_cost_no_second_pass(gan, loader):
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=100, kernel_nums=60, precision_recall_nums=10_000, neighbours=5)
    results = evaluate(metric, gan, loader)
    judged = network.calls
    assert judged == -(-445 // 64) + -(-100 // 64)

    images, _ = samples(gan, 100)
    fake, real = network(images).features, network(reals(loader)).features
    order = torch.randperm(445, generator=torch.Generator().manual_seed(0))
    expected = precision_recall(real[order[:100]], fake, neighbours=5)
    assert (results["pixels/precision"], results["pixels/recall"]) == expected
    # What is kept for them leaves the kernel distance at its own number.
    assert results["pixels/kernel"] == pytest.approx(kernel_distance(real[order[:60]], fake[:60]), rel=1e-6)
    assert metric.protocol().endswith("; precision and recall of 100 each, 5 neighbours")

    fewer = FrechetDistance(network, fake_nums=100, kernel_nums=0, precision_recall_nums=40)
    results = evaluate(fewer, gan, loader)
    expected = precision_recall(real[order[:40]], fake[:40], neighbours=3)
    assert (results["pixels/precision"], results["pixels/recall"]) == expected


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_all_values_are_computed_where_the_model_is(gan, loader, device):
    settings = dict(fake_nums=100, kernel_nums=50, precision_recall_nums=100, batch_statistics=True)
    expected = evaluate(FrechetDistance(PixelNetwork(), **settings), gan, loader)
    found = evaluate(FrechetDistance(PixelNetwork(), **settings), copy.deepcopy(gan).to(device), loader)
    # Another device rounds a few pixels to the next level.
    assert found == pytest.approx(expected, rel=1e-2, abs=0.02)


def test_another_set_of_real_images_under_a_name_of_its_own(gan, loader):
    train = dict(type="nda_mm.Digits", split="train", size=16, pipeline=[dict(type="PackInputs")])
    network = PixelNetwork()
    metric = FrechetDistance(network, fake_nums=70, real_set=train, prefix="pixels_train", score_splits=0)
    with DefaultScope.overwrite_default_scope("mmagic"):
        results = evaluate(metric, gan, loader)
    assert set(results) == {"pixels_train/frechet", "pixels_train/kernel"}
    images = torch.from_numpy(Digits(split="train", size=16).images).permute(0, 3, 1, 2)
    real, fake = (FeatureStatistics().update(network(each).features) for each in (images, samples(gan, 70)[0]))
    assert results["pixels_train/frechet"] == pytest.approx(
        frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance), rel=1e-9
    )
    assert metric.protocol().endswith(f"{len(images)} real images of Digits 'train'")


def test_the_protocol_is_said(gan, loader):
    metric = FrechetDistance(PixelNetwork(), fake_nums=20, batch_statistics=True)
    evaluate(metric, gan, loader)
    assert metric.protocol() == (
        "3x3 mean pixels; 20 samples of the moving average of the generator, statistics of batches of 64, seed 0; "
        "445 real images of Digits 'test'"
    )


def test_class_agreement_equals_counting(gan, loader):
    network = PixelNetwork()
    results = evaluate(ClassAgreement(network, fake_nums=90), gan, loader)
    images, labels = samples(gan, 90)
    right = network(images).probabilities.argmax(dim=1) == labels
    assert results["pixels/class_agreement"] == pytest.approx(right.float().mean().item())
    worst = min(right[labels == label].float().mean().item() for label in range(10))
    assert results["pixels/class_agreement_worst"] == pytest.approx(worst)


def test_both_generators_and_both_statistics_can_be_judged(gan, loader):
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
    real, fake = (FeatureStatistics().update(network(each).features) for each in (reals(loader), images))
    assert values["orig", True] == pytest.approx(
        frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance), rel=1e-9
    )


def test_an_evaluation_leaves_model_and_random_state_alone_and_repeats_exactly(gan, loader):
    before, state = copy.deepcopy(gan.state_dict()), torch.get_rng_state()
    metric = FrechetDistance(PixelNetwork(), fake_nums=50, batch_statistics=True)
    first = evaluate(metric, gan, loader)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in gan.state_dict().items())
    calls = metric.network.calls
    assert metric.evaluate() == first
    assert metric.network.calls == calls + 1  # the real images are not judged again


def test_too_few_samples_are_allowed_with_a_warning(gan, loader, caplog, monkeypatch):
    import nda_mm.evaluation.frechet_metric as module

    said = []
    monkeypatch.setattr(module, "print_log", lambda message, logger, level: said.append((level, message)))
    results = evaluate(FrechetDistance(PixelNetwork(), fake_nums=8), gan, loader)
    assert results["pixels/frechet"] > 0
    assert said[0][0] == logging.WARNING
    assert said[0][1].startswith("8 generated images are too few for 9 features")
    assert len(said) == 1


def test_built_from_a_config_in_any_scope():
    cfg = dict(type="nda_mm.FrechetDistance", network=dict(type="mmpretrain", config="absent.py"), fake_nums=10)
    with DefaultScope.overwrite_default_scope("mmagic"):
        metric = Evaluator([cfg]).metrics[0]  # the network is built when it is first used
        assert isinstance(metric, FrechetDistance)
    assert isinstance(METRICS.build({**cfg, "type": "ClassAgreement"}), ClassAgreement)
    with pytest.raises(FileNotFoundError, match=r"has no recipe 'absent\.py'; it has"):
        _ = metric.network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(fake_nums=1), "fake_nums must be at least 2 and batch_size 1, but got 1 and 64"),
        (dict(sample_model="both"), "sample_model must be one of ema, orig, but got 'both'"),
        (dict(real_nums=0), r"real_nums must be -1 \(all\) or at least 2, but got 0"),
        (dict(kernel_nums=-1), "kernel_nums and score_splits must be >= 0, but got -1 and 1"),
        (dict(precision_recall_nums=3), r"or above neighbours, .* below fake_nums, but got 3, 3 and 10"),
        (dict(precision_recall_nums=50, neighbours=10), "below fake_nums, but got 50, 10 and 10"),
        (dict(precision_recall_nums=50, neighbours=0), "must be at least 1 and below fake_nums, but got 50, 0 and 10"),
        (dict(real_set=dict(type="nda_mm.Digits")), "name the results against another real_set by a prefix"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        FrechetDistance(**{**dict(network=PixelNetwork(), fake_nums=10), **change})


def test_bad_use_is_refused(gan, loader):
    with pytest.raises(RuntimeError, match="was not prepared; use it in an evaluator of mmagic"):
        FrechetDistance(PixelNetwork(), fake_nums=10).evaluate()
    with pytest.raises(ValueError, match="446 real images were asked for, but the data set has 445"):
        evaluate(FrechetDistance(PixelNetwork(), fake_nums=10, real_nums=446), gan, loader)
    unconditional = copy.copy(gan)
    unconditional.num_classes = 3
    with pytest.raises(ValueError, match="the model has 3 classes and pixels has 10"):
        evaluate(ClassAgreement(PixelNetwork(), fake_nums=10), unconditional, loader)


def test_torchvision_network(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    reference = resnet18(num_classes=7).eval()
    torch.save(reference.state_dict(), tmp_path / "r18.pth")
    network = build_feature_network(
        dict(type="torchvision", model="resnet18", checkpoint=str(tmp_path / "r18.pth"), size=None)
    )
    images = torch.randint(0, 256, (3, 3, 40, 40), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        normalised = (images / 255 - mean.view(-1, 1, 1)) / std.view(-1, 1, 1)
        expected = reference(normalised).softmax(1)
        reference.fc = nn.Identity()
        features = reference(normalised)
    torch.testing.assert_close(network(images).features, features)
    torch.testing.assert_close(network(images).probabilities, expected)
    assert network.name == "torchvision_resnet18"
    assert network.protocol == "torchvision resnet18, weights r18.pth, images as they are"
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.train().model.training
    with pytest.raises(FileNotFoundError, match=r"there is no checkpoint 'absent\.pth' for torchvision's resnet18"):
        build_feature_network(dict(type="torchvision", model="resnet18", checkpoint="absent.pth"))
    with pytest.raises(ValueError, match="does not fit torchvision's resnet34"):
        build_feature_network(dict(type="torchvision", model="resnet34", checkpoint=str(tmp_path / "r18.pth")))


class ScriptedInception(nn.Module):
    """Stands in for the Inception file, which cannot be had here: its call signature and input, other weights."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(12, 10)

    def forward(self, x: Tensor, return_features: bool = False, no_output_bias: bool = False) -> Tensor:
        features = nn.functional.adaptive_avg_pool2d(x.float(), 2).flatten(1)
        if return_features:
            return features
        return (features @ self.linear.weight.T / 100).softmax(1)


@pytest.mark.slow
def test_inception_equals_mmagic_own_fid_and_score(gan, loader, tmp_path):
    from mmagic.evaluation.metrics import FrechetInceptionDistance, InceptionScore

    path = str(tmp_path / "inception-2015-12-05.pt")
    torch.jit.script(ScriptedInception()).save(path)
    results = evaluate(FrechetDistance(dict(type="inception", path=path), fake_nums=100, score_splits=10), gan, loader)
    assert set(results) == {"inception/fid", "inception/kid", "inception/is", "inception/is_std"}

    images, _ = samples(gan, 100)
    fid = FrechetInceptionDistance(fake_nums=100, inception_path=path, sample_model="ema")
    score = InceptionScore(fake_nums=100, inception_path=path, sample_model="ema")
    batch = [dict(ema=dict(fake_img=image.flip(0).float())) for image in images]
    with torch.no_grad():  # as in mmagic's loop
        fid.process({}, batch)
        score.process({}, batch)
    real = fid.forward_inception(reals(loader).flip(1)).detach().double()
    fid.real_mean, fid.real_cov = real.mean(0).numpy(), torch.cov(real.T).numpy()
    assert results["inception/fid"] == pytest.approx(fid.compute_metrics(fid.fake_results)["fid"], rel=1e-5)
    host = score.compute_metrics(score.fake_results)
    assert results["inception/is"] == pytest.approx(host["is"], rel=1e-5)
    assert results["inception/is_std"] == pytest.approx(host["is_std"], rel=1e-3)


def test_inception_is_never_downloaded(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"FID needs the TorchScript file inception-2015-12-05\.pt"):
        build_feature_network(dict(type="inception", path=str(tmp_path / "absent.pt")))
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="is no TorchScript file of the Inception network"):
        build_feature_network(dict(type="inception", path=str(tmp_path / "broken.pt")))


def test_unknown_networks_are_refused():
    with pytest.raises(ValueError, match="must be one of inception, mmpretrain, torchvision, but got 'vgg'"):
        build_feature_network(dict(type="vgg"))
    with pytest.raises(TypeError, match="a feature network is a dict with a 'type'"):
        build_feature_network("inception")  # type: ignore[arg-type]


def test_our_recipes_are_found_by_name_or_path():
    from nda_mm.evaluation.train_classifier import find_recipe

    ours = recipe_path("classifier_digits.py")
    assert find_recipe("classifier_digits.py").read_text() == ours.read_text()
    assert find_recipe(str(ours)) == ours


def _in_two_processes(rank: int, folder: str) -> None:
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        results = _results_of_a_small_evaluation()
        torch.save(results, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


def _results_of_a_small_evaluation() -> dict[str, float]:
    gan, loader = _build_gan(), _build_loader()
    metric = FrechetDistance(PixelNetwork(), fake_nums=75, kernel_nums=10_000, precision_recall_nums=61)
    results = evaluate(metric, gan, loader)
    return results | evaluate(ClassAgreement(PixelNetwork(), fake_nums=75), gan, loader)


@pytest.mark.slow
def test_two_processes_report_what_one_does(tmp_path):
    torch.multiprocessing.start_processes(_in_two_processes, args=(str(tmp_path),), nprocs=2, start_method="fork")
    expected = _results_of_a_small_evaluation()
    for rank in (0, 1):
        results = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert results == pytest.approx(expected, rel=1e-5)
