"""A narrow BigGAN with batches of its own, for the tests of step, sampling and networks. Not a test module."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny_gans import image_batch
from tiny_gans import train as train_on
from torch import nn

from nda_mm.models import NDABigGAN

CLASSES, NOISE, BATCH = 10, 16, 6


def networks(classes: int = CLASSES, sn_style: str = "torch") -> dict[str, Any]:
    shared = dict(num_classes=classes, base_channels=2, sn_eps=1e-8, sn_style=sn_style, init_cfg=dict(type="N02"))
    return dict(
        num_classes=classes,
        data_preprocessor=dict(type="DataPreprocessor", output_channel_order="BGR"),
        generator=dict(
            type="BigGANGenerator",
            output_scale=32,
            noise_size=NOISE,
            with_shared_embedding=False,
            split_noise=False,
            auto_sync_bn=False,
            **shared,
        ),
        discriminator=dict(type="BigGANDiscriminator", input_scale=32, **shared),
        ema_config=dict(type="ExponentialMovingAverage", momentum=0.1, start_iter=0),
    )


def build(classes: int = CLASSES, sn_style: str = "torch", **settings: Any) -> Any:
    torch.manual_seed(0)
    model = NDABigGAN(**networks(classes, sn_style), **settings)
    model.generator.init_weights()
    model.discriminator.init_weights()
    # The default N(0, 0.02) leaves logits near 0, where a wrong weight hardly shows.
    for parameter in model.discriminator.parameters():
        parameter.data.mul_(20)
    return model


def optimizers(model: Any, **settings: Any) -> OptimWrapperDict:
    def wrap(module: nn.Module) -> OptimWrapper:
        return OptimWrapper(torch.optim.Adam(module.parameters(), lr=2e-3, betas=(0.0, 0.999)), **settings)

    return OptimWrapperDict(generator=wrap(model.generator), discriminator=wrap(model.discriminator))


def batch(seed: int = 0, labels: bool = True) -> dict[str, Any]:
    return image_batch(BATCH, 32, CLASSES if labels else 0, seed, "RGB")


def train(model: Any, steps: int) -> list[dict]:
    torch.manual_seed(7)
    return train_on(model, optimizers(model), (batch(step) for step in range(steps)))
