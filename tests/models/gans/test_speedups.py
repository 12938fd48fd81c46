"""Parts that take fewer operations than mmagic's: its results, preprocessor and EMA bit for bit, its block rounded."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("mmagic")
from mmagic.models.base_models import ExponentialMovingAverage
from mmagic.models.data_preprocessors import DataPreprocessor
from mmagic.models.editors.biggan.biggan_modules import BigGANDiscResBlock
from mmagic.structures import DataSample

from nda_mm.models import BatchDataPreprocessor, BatchedMovingAverage, PooledBigGANDiscResBlock


def batch(count: int = 5, channels: int = 3, order: str | None = "RGB", label: bool = True, dtype=torch.uint8) -> dict:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for index in range(count):
        sample = DataSample()
        pixels = torch.randint(0, 256, (channels, 6, 4), generator=generator).to(dtype)
        known = dict(gt=pixels, **(dict(gt_label=index % 3) if label else {}))
        sample.set_predefined_data(known | ({} if order is None else dict(gt_channel_order=order)))
        sample.set_metainfo(dict(sample_idx=index))
        samples.append(sample)
    return dict(inputs=[{} for _ in samples], data_samples=samples)


def assert_same(ours: dict, theirs: dict) -> None:
    assert ours["inputs"] == theirs["inputs"] == {}
    first, second = ours["data_samples"], theirs["data_samples"]
    assert set(first.keys()) == set(second.keys()) and set(first.metainfo_keys()) == set(second.metainfo_keys())
    assert first.gt_img.dtype == second.gt_img.dtype
    assert torch.equal(first.gt_img, second.gt_img)
    if "gt_label" in first:
        assert torch.equal(first.gt_label.label, second.gt_label.label)
    for key in first.metainfo_keys():
        for one, other in zip(first.metainfo[key], second.metainfo[key], strict=True):
            assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


@pytest.mark.parametrize(
    ("settings", "made"),
    [
        (dict(output_channel_order="BGR"), dict(order=None)),
        ({}, dict(order="BGR", label=False)),
        (dict(mean=[1.0, 2.0, 3.0], std=[3.0, 5.0, 7.0], output_channel_order="BGR"), dict(dtype=torch.float32)),
        (dict(output_channel_order="RGB"), dict(channels=1, order="single")),
    ],
)
def test_results_are_the_hosts(settings: dict[str, Any], made: dict[str, Any]) -> None:
    for training in (True, False):
        ours = BatchDataPreprocessor(**settings)(batch(**made), training)
        assert_same(ours, DataPreprocessor(**settings)(batch(**made), training))


def test_a_stacked_sample_gives_what_its_samples_give() -> None:
    settings = dict(output_channel_order="RGB")  # in training; in evaluation it is always BGR
    stacked = dict(inputs={}, data_samples=DataSample.stack(batch()["data_samples"]))
    kept = stacked["data_samples"].gt_img.clone()
    for training in (True, False):
        ours = BatchDataPreprocessor(**settings)(deepcopy(stacked), training)
        assert_same(ours, DataPreprocessor(**settings)(batch(), training))
    assert torch.equal(stacked["data_samples"].gt_img, kept)


def test_other_batches_go_the_hosts_way() -> None:
    """Images among the inputs, and no stacking: the same results as well."""
    with_inputs = [{**batch(), "inputs": [dict(img=torch.ones(3, 6, 4)) for _ in range(5)]} for _ in range(2)]
    ours, theirs = BatchDataPreprocessor()(with_inputs[0], True), DataPreprocessor()(with_inputs[1], True)
    assert torch.equal(ours["inputs"]["img"], theirs["inputs"]["img"])
    assert torch.equal(ours["data_samples"].gt_img, theirs["data_samples"].gt_img)
    ours, theirs = (kind(stack_data_sample=False)(batch(), True) for kind in (BatchDataPreprocessor, DataPreprocessor))
    for one, other in zip(ours["data_samples"], theirs["data_samples"], strict=True):
        assert torch.equal(one.gt_img, other.gt_img)


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


def build(cls: type, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    return cls(3, 5, **settings).double().train()


@pytest.mark.parametrize(
    ("head", "downsample", "norm"),
    [
        (False, True, dict(with_spectral_norm=False)),
        (True, True, dict(sn_style="torch")),
        (False, False, dict(sn_style="torch")),
        (False, True, dict(sn_style="ajbrock")),
    ],
)
def test_output_gradients_and_state_are_mmagics(head: bool, downsample: bool, norm: dict) -> None:
    settings = dict(is_head_block=head, with_downsample=downsample, **norm)
    host, ours = build(BigGANDiscResBlock, **settings), build(PooledBigGANDiscResBlock, **settings)
    ours.load_state_dict(deepcopy(host.state_dict()))
    x = torch.randn(2, 3, 8, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outcomes = []
    for block in (host, ours):
        image = x.clone().requires_grad_()
        out = block(image)
        out.sin().sum().backward()
        outcomes.append([out, image.grad, *(parameter.grad for parameter in block.parameters())])
    for found, expected in zip(*reversed(outcomes), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for name, value in host.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name])
