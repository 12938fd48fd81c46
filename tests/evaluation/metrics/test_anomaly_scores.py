"""Scores of mmagic's discriminators, written out class by class; of classifiers, against those of pytorch-ood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch import nn

from nda_mm.compat import apply_patches
from nda_mm.evaluation import knn_distances
from nda_mm.evaluation.metrics.anomaly_scores import (
    anomaly_scores,
    class_logits,
    classifier_scores,
    count_classes,
    layers_that_mix,
    score_images,
    scoring,
)
from nda_mm.models.gans.sampling import as_rgb, from_rgb
from nda_mm.utils.files import recipe_path

OUTSIDE = json.loads((Path(__file__).parents[2] / "data" / "outside" / "pytorch_ood_scores.json").read_text())

apply_patches()
biggan_module = pytest.importorskip("mmagic.models.editors.biggan")
dcgan_module = pytest.importorskip("mmagic.models.editors.dcgan")
sagan_module = pytest.importorskip("mmagic.models.editors.sagan")
stylegan_module = pytest.importorskip("mmagic.models.editors.stylegan2")

SMALL = dict(
    in_channels=[3, 4], out_channels=[4, 8], downsample=[True, False], resolution=[8, 8], attention=[False, False]
)


def biggan(classes: int) -> nn.Module:
    torch.manual_seed(classes)
    model = biggan_module.BigGANDiscriminator(
        input_scale=16, num_classes=classes, arch_cfg=SMALL, init_cfg=dict(type="N02")
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return model.eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(discriminator: nn.Module, images: torch.Tensor, classes: int) -> torch.Tensor:
    """Of each image and class, one by one."""
    one = [[discriminator(each[None], label=torch.tensor([y])).item() for y in range(classes)] for each in images]
    return torch.tensor(one, dtype=torch.float64)


@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        ("max", lambda rows: -rows.max(dim=1).values),
        ("mean", lambda rows: -rows.sum(dim=1) / 4),
        ("logsumexp", lambda rows: -(rows.exp().sum(dim=1) / 4).log()),
    ],
)
def test_classes_are_reduced_as_it_says(images: torch.Tensor, reduction: str, reduce: Any) -> None:
    discriminator = biggan(4)
    with torch.no_grad():
        found = anomaly_scores(discriminator, images, class_reduction=reduction)
    rows = logits(discriminator, images, 4)
    assert rows.std(dim=1).min() > 0.01  # the class matters
    torch.testing.assert_close(found, reduce(rows), rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float64


def count_passes(discriminator: nn.Module) -> list[int]:
    """A list that grows by one entry with each pass."""
    passes: list[int] = []
    discriminator.register_forward_pre_hook(lambda module, args: passes.append(1))
    return passes


def projecting(kind: str, classes: int) -> nn.Module:
    """mmagic's projection discriminators in double precision."""
    torch.manual_seed(1)
    if kind == "BigGAN":
        return biggan(classes).double()
    made = sagan_module.ProjDiscriminator(input_scale=32, num_classes=classes, base_channels=4)
    for parameter in made.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return made.eval().double()


@pytest.mark.parametrize(("kind", "count", "classes"), [("BigGAN", 3, 10), ("SNGAN", 12, 5)])
def test_all_classes_of_a_projection_come_from_one_pass(kind: str, count: int, classes: int) -> None:
    discriminator = projecting(kind, classes)
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    side = 32 if kind == "SNGAN" else 16
    drawn = torch.randn(count, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = logits(discriminator, drawn, classes)
    passes = count_passes(discriminator)
    found = class_logits(discriminator, drawn, classes)
    assert len(passes) == 1
    assert expected.std(dim=1).min() > 1e-3  # the class matters
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not found.requires_grad and not discriminator.decision._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in discriminator.state_dict().items())


class Cooled(nn.Module):
    """Has a projection's layers, but uses them in another way."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.temperature, self.num_classes = temperature, 7
        self.decision, self.proj_y = nn.Linear(12, 1), nn.Embedding(7, 12)

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        features = x.flatten(1)[:, :12]
        return self.decision(features) + (features * self.proj_y(label)).sum(dim=1, keepdim=True) / self.temperature


@pytest.mark.parametrize(("temperature", "expected_passes"), [(1.0, 1), (1.01, 8)])
def test_a_discriminator_that_only_looks_like_one_is_run_for_each_class(
    images: torch.Tensor, temperature: float, expected_passes: int
) -> None:
    discriminator = Cooled(temperature)
    expected = logits(discriminator, images, 7)
    passes = count_passes(discriminator)
    torch.testing.assert_close(class_logits(discriminator, images, 7), expected, rtol=1e-5, atol=1e-5)
    assert len(passes) == expected_passes
    assert not discriminator.decision._forward_hooks


class Bright(nn.Module):
    """Finds bright images real, by patches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x.mean(dim=1, keepdim=True), 4)


def test_low_logits_are_anomalous_and_patches_are_averaged(images: torch.Tensor) -> None:
    found = anomaly_scores(Bright(), images)
    torch.testing.assert_close(found, -images.mean(dim=(1, 2, 3)).double(), rtol=1e-5, atol=1e-6)


def test_classes_are_counted() -> None:
    assert [count_classes(each) for each in (biggan(4), biggan(1), biggan(0), Bright())] == [4, 1, 0, 0]


def test_an_image_does_not_depend_on_its_batch(images: torch.Tensor) -> None:
    dcgan = dcgan_module.DCGANDiscriminator(input_scale=16, output_scale=4, out_channels=1, base_channels=4).eval()
    assert layers_that_mix(dcgan) == []
    assert layers_that_mix(stylegan_module.StyleGAN2Discriminator(16, channel_multiplier=1)) == ["mbstd_layer"]
    assert layers_that_mix(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))) == ["0"]
    for discriminator in (dcgan, biggan(4)):
        with torch.no_grad():
            together = anomaly_scores(discriminator, images)
            alone = torch.cat([anomaly_scores(discriminator, each[None]) for each in images])
        torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_model_is_left_as_it_came(images: torch.Tensor) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.discriminator = biggan(4)

    model = Model().train()
    model.discriminator.conv_blocks[1].eval()
    model.discriminator.with_ada = True
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    with scoring(model) as discriminator:
        assert not any(module.training for module in discriminator.modules())
        assert discriminator.with_ada is False
        assert not torch.is_grad_enabled()
        anomaly_scores(discriminator, images)
    assert [module.training for module in model.modules()] == modes
    assert model.discriminator.with_ada is True
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_model_without_a_discriminator_is_refused() -> None:
    with pytest.raises(ValueError, match="no discriminator"), scoring(nn.Identity()):
        pass


def test_images_are_scored_as_training_sees_them() -> None:
    config = Config.fromfile(recipe_path("nda_biggan_digits"))
    config.model.data_preprocessor.output_channel_order = "BGR"
    DefaultScope.get_instance("score_images", scope_name="mmagic")
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    data = DATASETS.build(dict(config.train_dataloader.dataset, indices=7))
    data.images = np.random.default_rng(0).integers(0, 256, data.images.shape, dtype=np.uint8)  # digits are gray
    items = [data[index] for index in range(7)]
    batch = dict(inputs=[item["inputs"] for item in items], data_samples=[item["data_samples"] for item in items])
    seen = model.data_preprocessor(batch, True)["data_samples"].gt_img
    pixels = torch.from_numpy(data.images).permute(0, 3, 1, 2)
    torch.testing.assert_close(from_rgb(model.data_preprocessor, pixels), seen)
    assert torch.equal(as_rgb(model.data_preprocessor, seen), pixels)
    with scoring(model) as discriminator:
        expected = anomaly_scores(discriminator, seen)
    found = score_images(model, data.images, batch_size=3)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["msp", "energy", "max_logit"])
def test_scores_of_logits_equal_pytorch_oods(kind: str) -> None:
    found = classifier_scores(torch.tensor(OUTSIDE["logits"]), kind)
    # Six digits of theirs are kept.
    torch.testing.assert_close(found, torch.tensor(OUTSIDE[kind], dtype=torch.float64), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_distances_to_the_kth_neighbor_equal_pytorch_oods(k: int) -> None:
    distances = knn_distances(torch.tensor(OUTSIDE["queries"]), torch.tensor(OUTSIDE["bank"]), k=k)
    expected = torch.tensor(OUTSIDE["knn"][str(k)], dtype=torch.float64)
    torch.testing.assert_close(distances.double(), expected, atol=2e-6, rtol=0)


def test_certain_images_are_told_apart() -> None:
    """In float32 both softmaxes are 1."""
    first, second = classifier_scores(torch.tensor([[30.0, 0.0], [25.0, 0.0]])).tolist()
    assert first < second
