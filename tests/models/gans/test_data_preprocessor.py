"""The batch as one tensor: the host's results, bit for bit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

pytest.importorskip("mmagic")
from mmagic.models.data_preprocessors import DataPreprocessor
from mmagic.structures import DataSample

from nda_mm.models.gans.data_preprocessor import BatchDataPreprocessor


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
        (dict(output_channel_order="BGR"), {}),
        (dict(output_channel_order="BGR"), dict(order=None)),
        ({}, dict(order="BGR", label=False)),
        (dict(mean=[1.0, 2.0, 3.0], std=[3.0, 5.0, 7.0], output_channel_order="BGR"), dict(dtype=torch.float32)),
        (dict(output_channel_order="RGB"), dict(channels=1, order="single")),
        (dict(output_channel_order="BGR"), dict(channels=4)),
        (dict(output_channel_order="RGB"), dict(count=1)),
    ],
)
def test_results_are_the_hosts(settings: dict[str, Any], made: dict[str, Any]) -> None:
    for training in (True, False):
        ours = BatchDataPreprocessor(**settings)(batch(**made), training)
        assert_same(ours, DataPreprocessor(**settings)(batch(**made), training))


def test_a_stacked_sample_gives_what_its_samples_give() -> None:
    settings = dict(output_channel_order="BGR")
    stacked = dict(inputs={}, data_samples=DataSample.stack(batch()["data_samples"]))
    kept = stacked["data_samples"].gt_img.clone()
    assert_same(BatchDataPreprocessor(**settings)(deepcopy(stacked), True), DataPreprocessor(**settings)(batch(), True))
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
