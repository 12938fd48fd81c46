"""A small BigGAN, digits to evaluate it on, and mmagic's evaluator around metrics, in one process and in two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dataset import pseudo_collate
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.compat import apply_patches
from nda_mm.datasets import Digits
from nda_mm.evaluation.networks import FeatureNetwork, FeaturesAndProbs
from nda_mm.models.gans.sampling import sample_images

PACKED = dict(pipeline=[dict(type="mmagic.PackInputs")])


def build_gan() -> nn.Module:
    apply_patches()
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
            in_channels=[8] * 2, out_channels=[8] * 2, upsample=[True] * 2, resolution=[8, 16], attention=[False] * 2
        ),
    )
    discriminator = dict(
        type="BigGANDiscriminator",
        input_scale=16,
        num_classes=10,
        arch_cfg=dict(
            in_channels=[3, 4], out_channels=[4, 8], downsample=[True, False], resolution=[8, 8], attention=[False] * 2
        ),
        init_cfg=dict(type="N02"),
    )
    model = dict(
        type="BigGAN",
        num_classes=10,
        noise_size=8,
        data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
        generator=generator,
        discriminator=discriminator,
        ema_config=dict(type="ExponentialMovingAverage"),
    )
    with DefaultScope.overwrite_default_scope("mmagic"):
        gan = MODELS.build(model)
    for parameter in gan.generator.parameters():
        parameter.data.mul_(1.5)  # the two generators differ
    for parameter in gan.discriminator.parameters():
        nn.init.normal_(parameter, 0, 0.5)
    return gan.eval()


def build_loader(every: int = 1) -> DataLoader:
    return DataLoader(Digits(split="test", size=16, every=every, **PACKED), batch_size=32, collate_fn=pseudo_collate)


def samples(gan: nn.Module, count: int, **kwargs: Any) -> tuple[Tensor, Tensor]:
    """The samples that metrics draw with seed 0, and their classes."""
    noise = torch.randn(count, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(count) % 10
    return sample_images(gan, noise, labels, **kwargs), labels


class PixelNetwork(FeatureNetwork):
    """Nine mean pixels as features, the brightest of ten rows as the class."""

    def __init__(self) -> None:
        super().__init__("pixels", "3x3 mean pixels")
        self.calls = 0

    def forward(self, images: Tensor) -> FeaturesAndProbs:
        self.calls += 1
        assert images.dtype == torch.uint8
        gray = images.float().mean(dim=1)
        features = nn.functional.adaptive_avg_pool2d(gray, 3).flatten(1)
        return FeaturesAndProbs(features, gray[:, 3:13].mean(dim=2).softmax(dim=1))


def prepared(metrics: Sequence[Any], gan: nn.Module, loader: DataLoader) -> Any:
    """mmagic's evaluator of metrics, or of their configs, as mmagic's loop prepares it."""
    from mmagic.evaluation.evaluator import Evaluator

    evaluator = Evaluator(list(metrics))
    evaluator.prepare_metrics(gan, loader)
    assert all(len(sampler) == 0 for _, sampler in evaluator.prepare_samplers(gan, loader))
    return evaluator


def evaluate(metric: Any, gan: nn.Module, loader: DataLoader) -> dict[str, float]:
    return prepared([metric], gan, loader).evaluate()


def evaluate_in_two_processes(metrics: Sequence[dict], every: int, folder: Path) -> list[dict[str, float]]:
    """What each of two processes reports."""
    torch.multiprocessing.spawn(_evaluate_as_rank, args=(list(metrics), every, str(folder)), nprocs=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _evaluate_as_rank(rank: int, metrics: list[dict], every: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    torch.save(prepared(metrics, build_gan(), build_loader(every)).evaluate(), f"{folder}/{rank}.pt")
    dist.destroy_process_group()
