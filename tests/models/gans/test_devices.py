"""BigGAN on a CPU, on a GPU, in channels-last memory and compiled: the same logs and weights after two steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import Tensor

pytest.importorskip("mmagic")
from tiny_biggan import NOISE, build, train
from tiny_gans import MirroredNegative

from nda_mm.models.gans.networks import compile_network


def two_steps(device: str, change: Callable[[Any], None] | None = None) -> dict[str, Tensor]:
    """What is logged, and what is saved after two steps in float64; all draws are made on the CPU."""
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = build(negative=MirroredNegative()).double().to(device).train()
        model.noise_fn = lambda num_batches: torch.randn(num_batches, NOISE).double().to(device)
        if change is not None:
            change(model)
        logs = train(model, 2)
    logged = {f"{name} {step}": value for step, log in enumerate(logs) for name, value in log.items()}
    return {name: torch.as_tensor(value).cpu() for name, value in {**logged, **model.state_dict()}.items()}


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    """On the CPU, contiguous and eager."""
    return two_steps("cpu")


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-6, atol=1e-8, msg=name)


def test_channels_last_gives_the_same(device: str, expected: dict[str, Tensor]) -> None:
    assert_close(two_steps(device, lambda model: model.to(memory_format=torch.channels_last)), expected)


@pytest.mark.slow
def test_compiled_they_give_the_same(device: str, expected: dict[str, Tensor]) -> None:
    """On a CPU without the compiler's last part, which takes minutes there: graphs, decompositions, gradients."""

    def change(model: Any) -> None:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
        for network in (model.generator, model.discriminator):
            compile_network(network, backend={"cpu": "aot_eager", "cuda": "inductor"}[device])

    assert_close(two_steps(device, change), expected)
    assert not torch._dynamo.utils.counters["graph_break"]
