"""BigGAN's networks on a CPU and on a GPU, in channels-last memory and compiled: the same numbers, the same slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn
from torch.autograd import grad

pytest.importorskip("mmagic")
from tiny_biggan import BATCH, CLASSES, NOISE, build
from tiny_gans import MirroredNegative

from nda_mm.models.gans.networks import compile_network

Change = Callable[[Any], None]


def draws() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Noise, labels, real and generated images, the same on every device."""
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(BATCH, NOISE, generator=generator, dtype=torch.float64)
    label = torch.randint(CLASSES, (BATCH,), generator=generator)
    real, fake = torch.rand(2, BATCH, 3, 32, 32, generator=generator, dtype=torch.float64) * 2 - 1
    return noise, label, real, fake


def slopes(loss: Tensor, network: nn.Module) -> dict[str, Tensor]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, grad(loss, parameters), strict=True))


def two_steps(
    device: str, change: Change | None = None, memory_format: torch.memory_format = torch.contiguous_format
) -> dict[str, Tensor]:
    """What both networks give in two steps each: between them, spectral normalization has gone on iterating."""
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = build(negative=MirroredNegative()).double().to(device).train()
    if change is not None:
        change(model)
    noise, label, real, fake = (value.to(device) for value in draws())
    real, fake = (images.contiguous(memory_format=memory_format) for images in (real, fake))
    found: dict[str, Tensor] = {}
    for step in range(2):
        images = model.generator(noise, label=label)
        found[f"images {step}"] = images.detach()
        upwards = slopes(images.square().mean(), model.generator)
        kinds = {"fake": (fake, label), "real": (real, label), "negative": (model.make_negatives(real), label)}
        terms = model.adversarial_terms(model.scores(kinds), fake_weight=0.25)
        found |= {f"{name} {step}": value.detach() for name, value in terms.items()}
        loss = sum(value for name, value in terms.items() if name.startswith("loss"))
        found |= {f"slope of {name} {step}": value for name, value in upwards.items()}
        found |= {f"slope of {name} {step}": value for name, value in slopes(loss, model.discriminator).items()}
    return {name: value.cpu() for name, value in found.items()}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    """On the CPU, contiguous and eager."""
    return two_steps("cpu")


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    assert sum(name.startswith("slope") for name in found) > 40
    for name, value in expected.items():
        rtol = 1e-7 if value.dtype == torch.float64 else 1e-6  # what is logged is rounded to float32
        atol = 1e-9 * max(float(value.abs().max()), 1e-3)
        assert torch.allclose(found[name], value, rtol=rtol, atol=atol), name


def test_channels_last_gives_the_same(device: str, expected: dict[str, Tensor]) -> None:
    def change(model: Any) -> None:
        model.to(memory_format=torch.channels_last)

    assert_close(two_steps(device, change, torch.channels_last), expected)


@pytest.mark.slow
def test_compiled_they_give_the_same(device: str, expected: dict[str, Tensor]) -> None:
    """On a CPU without the compiler's last part, which takes minutes there: graphs, decompositions, slopes."""

    def change(model: Any) -> None:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        for network in (model.generator, model.discriminator):
            compile_network(network, backend={"cpu": "aot_eager", "cuda": "inductor"}[device])

    assert_close(two_steps(device, change), expected)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 2 and not counters["graph_break"]  # each whole, and once
