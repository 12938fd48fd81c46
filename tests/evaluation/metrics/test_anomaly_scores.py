"""Scores of mmagic's discriminators, written out class by class; of classifiers, against those of pytorch-ood."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from small_gan import build_gan, build_loader
from torch import nn

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

OUTSIDE = json.loads((Path(__file__).parents[2] / "data" / "outside" / "pytorch_ood_scores.json").read_text())


@pytest.fixture
def gan() -> nn.Module:
    pytest.importorskip("mmagic.models")
    return build_gan()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def logits(discriminator: nn.Module, images: torch.Tensor, classes: int) -> torch.Tensor:
    """Of each image and class, one by one."""
    one = [[discriminator(each[None], label=torch.tensor([y])).item() for y in range(classes)] for each in images]
    return torch.tensor(one, dtype=torch.float64)


def count_passes(discriminator: nn.Module) -> list[int]:
    """A list that grows by one entry with each pass."""
    passes: list[int] = []
    discriminator.register_forward_pre_hook(lambda module, args: passes.append(1))
    return passes


@pytest.mark.parametrize(
    ("reduction", "reduce"),
    [
        ("max", lambda rows: -rows.max(dim=1).values),
        ("mean", lambda rows: -rows.sum(dim=1) / 10),
        ("logsumexp", lambda rows: -(rows.exp().sum(dim=1) / 10).log()),
    ],
)
def test_classes_are_reduced_as_it_says(gan: nn.Module, images: torch.Tensor, reduction: str, reduce: Any) -> None:
    rows = logits(gan.discriminator, images, 10)
    passes = count_passes(gan.discriminator)
    with torch.no_grad():
        found = anomaly_scores(gan.discriminator, images, class_reduction=reduction)
    assert len(passes) == 1
    assert rows.std(dim=1).min() > 0.01  # the class matters
    torch.testing.assert_close(found, reduce(rows), rtol=1e-5, atol=1e-5)
    assert found.dtype == torch.float64


class Cooled(nn.Module):
    """Has a projection's layers, but uses them in another way for all classes but the first."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.temperature, self.num_classes = temperature, 4
        self.decision, self.proj_y = nn.Linear(12, 1), nn.Embedding(4, 12)

    def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        features = x.flatten(1)[:, :12]
        projected = (features * self.proj_y(label)).sum(dim=1, keepdim=True)
        return self.decision(features) + projected / self.temperature ** label[:, None]


@pytest.mark.parametrize(("temperature", "expected_passes"), [(1.0, 1), (1.01, 5)])
def test_a_discriminator_that_only_looks_like_one_is_run_for_each_class(
    images: torch.Tensor, temperature: float, expected_passes: int
) -> None:
    discriminator = Cooled(temperature)
    expected = logits(discriminator, images, 4)
    passes = count_passes(discriminator)
    found = class_logits(discriminator, images, 4)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert len(passes) == expected_passes
    assert not found.requires_grad and not discriminator.decision._forward_hooks


class Bright(nn.Module):
    """Finds bright images real, by patches."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(x.mean(dim=1, keepdim=True), 4)


def test_without_classes_low_logits_are_anomalous_and_patches_are_averaged(images: torch.Tensor) -> None:
    found = anomaly_scores(Bright(), images)
    torch.testing.assert_close(found, -images.mean(dim=(1, 2, 3)).double(), rtol=1e-5, atol=1e-6)
    unconditional = Cooled(1.0)
    unconditional.num_classes = 0
    assert count_classes(unconditional) == 0


def test_layers_through_which_images_of_a_batch_meet_are_found() -> None:
    dcgan, stylegan = (pytest.importorskip(f"mmagic.models.editors.{name}") for name in ("dcgan", "stylegan2"))
    plain = dcgan.DCGANDiscriminator(input_scale=16, output_scale=4, out_channels=1, base_channels=4)
    assert layers_that_mix(plain) == []
    assert layers_that_mix(stylegan.StyleGAN2Discriminator(16, channel_multiplier=1)) == ["mbstd_layer"]
    assert layers_that_mix(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False))) == ["0"]


def test_the_model_is_left_as_it_came(gan: nn.Module, images: torch.Tensor) -> None:
    gan.train().discriminator.conv_blocks[1].eval()
    gan.discriminator.with_ada = True
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    modes = [module.training for module in gan.modules()]
    with scoring(gan) as discriminator:
        anomaly_scores(discriminator, images)
        assert not any(module.training for module in discriminator.modules())
        assert discriminator.with_ada is False
        assert not torch.is_grad_enabled()
    assert [module.training for module in gan.modules()] == modes
    assert gan.discriminator.with_ada is True
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items())


def test_images_are_scored_as_training_sees_them(gan: nn.Module) -> None:
    data = build_loader().dataset
    data.images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)  # digits are gray
    seen = gan.data_preprocessor(pseudo_collate([data[index] for index in range(7)]), True)["data_samples"].gt_img
    pixels = torch.from_numpy(data.images).permute(0, 3, 1, 2)
    torch.testing.assert_close(from_rgb(gan.data_preprocessor, pixels), seen)
    assert torch.equal(as_rgb(gan.data_preprocessor, seen), pixels)
    with scoring(gan) as discriminator:
        expected = anomaly_scores(discriminator, seen)
    np.testing.assert_allclose(score_images(gan, data.images, batch_size=3), expected.numpy(), rtol=1e-5)


@pytest.mark.parametrize("kind", ["msp", "energy", "max_logit"])
def test_scores_of_logits_equal_pytorch_oods(kind: str) -> None:
    found = classifier_scores(torch.tensor(OUTSIDE["logits"]), kind)
    # Six digits of theirs are kept.
    torch.testing.assert_close(found, torch.tensor(OUTSIDE[kind], dtype=torch.float64), atol=2e-6, rtol=2e-6)
    first, second = classifier_scores(torch.tensor([[30.0, 0.0], [25.0, 0.0]]), kind).tolist()
    assert first < second  # in float32 both softmaxes are 1


@pytest.mark.parametrize("k", [1, 40])
def test_distances_to_the_kth_neighbor_equal_pytorch_oods(k: int) -> None:
    distances = knn_distances(torch.tensor(OUTSIDE["queries"]), torch.tensor(OUTSIDE["bank"]), k=k)
    expected = torch.tensor(OUTSIDE["knn"][str(k)], dtype=torch.float64)
    torch.testing.assert_close(distances.double(), expected, atol=2e-6, rtol=0)
