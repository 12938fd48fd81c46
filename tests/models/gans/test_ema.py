"""The moving average in a few operations: mmagic's, bit for bit."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn

pytest.importorskip("mmagic")
from mmagic.models.base_models import ExponentialMovingAverage

from nda_mm.models.gans.ema import BatchedMovingAverage


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.utils.spectral_norm(nn.Conv2d(5, 2, 1)))
    layers.register_parameter("count", nn.Parameter(torch.arange(3), requires_grad=False))
    return layers


def moved(model: nn.Module) -> None:
    """As a training step leaves it: other weights, other buffers."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.add_(0.1 * torch.randn_like(parameter))
    model(torch.randn(4, 3, 6, 6))


@pytest.mark.parametrize(
    ("settings", "channels_last"),
    [({}, True), (dict(interval=3, momentum=0.3), False), (dict(update_buffers=True), False)],
)
def test_averages_are_the_hosts(settings: dict, channels_last: bool) -> None:
    model = network()
    ours, theirs = BatchedMovingAverage(model, **settings), ExponentialMovingAverage(model, **settings)
    if channels_last:
        for each in (model, ours, theirs):
            each.to(memory_format=torch.channels_last)
    for step in range(8):
        moved(model)
        for average in (ours, theirs):
            if step < 2:  # as mmagic's GANs do before the average begins, and after each update
                average.sync_parameters(model)
            else:
                average.update_parameters(model)
                if not average.update_buffers:
                    average.sync_buffers(model)
        assert ours.state_dict().keys() == theirs.state_dict().keys()
        for name, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), (step, name)
    own = model[0].weight
    assert not torch.equal(ours.module[0].weight, own)


def test_a_loaded_average_goes_on_from_its_count() -> None:
    """At step 0 an update copies; a loaded one at step 5 averages, and the other way around."""
    model = network()
    trained, fresh = BatchedMovingAverage(model), BatchedMovingAverage(model)
    for _ in range(5):
        moved(model)
        trained.update_parameters(model)
    beginning = deepcopy(fresh.state_dict())
    fresh.load_state_dict(trained.state_dict())
    moved(model)
    for average in (fresh, trained):
        average.update_parameters(model)
    assert torch.equal(fresh.module[0].weight, trained.module[0].weight)
    assert int(fresh.steps) == 6
    trained.load_state_dict(beginning)
    trained.update_parameters(model)
    assert torch.equal(trained.module[0].weight, model[0].weight)
