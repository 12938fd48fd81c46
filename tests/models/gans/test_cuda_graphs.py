"""Training steps as CUDA graphs: the same weights and logs as without, also when a schedule changes the step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper

pytest.importorskip("mmagic")
from tiny_biggan import batch, build, optimizers
from tiny_biggan import train as train_biggan
from tiny_gans import train as train_on

from nda_mm.models.gans.cuda_graphs import GraphedStep, can_capture
from nda_mm.negatives import build_negative

CURRICULUM = dict(type="Curriculum", milestones=[(0, dict(type="Jigsaw", grid=2)), (6, dict(type="Stitch"))])


def train(warmup: int, steps: int = 20) -> tuple[Any, list[dict], Any]:
    """On a GPU, over changes of the weight and one of the negative."""
    weight = dict(milestones=[(0, 1.0), (8, 0.25)], interpolate="linear")
    model = build(negative=CURRICULUM, fake_weight=weight, discriminator_steps=2, cuda_graphs=True)
    model = model.cuda().train()
    model.graphed = {name: GraphedStep(warmup) for name in model.graphed}
    wrappers = optimizers(model)
    torch.manual_seed(7)
    logs = train_on(model, wrappers, (batch(step) for step in range(steps)))
    return model, logs, wrappers


@pytest.mark.gpu
@pytest.mark.usefixtures("deterministic")
def test_replayed_steps_equal_ordinary_ones() -> None:
    replayed, logs, wrappers = train(warmup=2)
    ordinary, expected, _ = train(warmup=10**9)
    assert all(step.replays for step in replayed.graphed.values())
    assert not any(step.replays for step in ordinary.graphed.values())
    for found, wanted in zip(logs, expected, strict=True):
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(found[name].cpu(), value.cpu(), rtol=1e-4, atol=1e-4)
    states = replayed.state_dict(), ordinary.state_dict()
    assert int(states[0]["negative.iteration"]) == 9
    for name, value in states[1].items():
        torch.testing.assert_close(states[0][name], value, rtol=1e-4, atol=1e-4, msg=name)
    # As a checkpoint they can go on where nothing is captured, and the other way round.
    for wrapper in wrappers.values():
        assert not any(group["capturable"] for group in wrapper.optimizer.param_groups)


@pytest.mark.gpu
def test_random_numbers_go_on_from_replay_to_replay() -> None:
    weight = torch.nn.Parameter(torch.zeros(3, device="cuda"))
    wrapper = OptimWrapper(torch.optim.Adam([weight]))
    graphed = GraphedStep(warmup=1)

    def step() -> dict[str, torch.Tensor]:
        return {"drawn": torch.rand((), device="cuda")}

    torch.manual_seed(0)
    expected = [float(step()["drawn"]) for _ in range(6)]
    torch.manual_seed(0)
    found = [graphed(step, {}, wrapper, None)["drawn"] for _ in range(6)]
    assert graphed.replays
    assert [float(value) for value in found] == expected and len(set(expected)) == 6


def test_on_a_cpu_nothing_changes() -> None:
    logs = [train_biggan(build(negative=dict(type="Jigsaw"), cuda_graphs=graphs), steps=2) for graphs in (True, False)]
    assert logs[0] == logs[1]


def test_a_curriculum_tells_its_choice() -> None:
    negative = build_negative(dict(type="RandomNegative", negatives=[CURRICULUM, dict(type="Rotate")]))
    first = negative.choice()
    negative.set_iteration(5)
    assert negative.choice() == first
    negative.set_iteration(6)
    assert negative.choice() != first


def test_steps_that_would_wait_for_the_device_are_not_captured() -> None:
    def wrapper(kind: type = OptimWrapper, **settings: Any) -> OptimWrapper:
        return kind(torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]), **settings)

    assert can_capture(wrapper())
    assert not can_capture(wrapper(accumulative_counts=2))
    assert not can_capture(wrapper(clip_grad=dict(max_norm=1.0)))
    assert torch.cuda.is_available() is False or not can_capture(wrapper(AmpOptimWrapper))
    assert not can_capture(OptimWrapper(torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)))
