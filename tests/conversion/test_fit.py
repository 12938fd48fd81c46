"""Weights and the models that should bear them."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import tiny_backbones as tiny
import torch
from torch import nn

from nda_mm.conversion.checks import plain_state, require_carried, require_fit
from nda_mm.conversion.resnet import BackboneMismatchError


@pytest.fixture(scope="module")
def resnet18():
    return plain_state(tiny.randomise(tiny.build("mmpretrain", 18)))


def test_a_deeper_networks_weights_do_not_pass_for_a_shallower_ones():
    """Every tensor of ResNet-18 has its like in ResNet-34, so that a lenient load complains of nothing missing."""
    deeper = plain_state(tiny.build("mmpretrain", 34))
    with pytest.raises(BackboneMismatchError) as refusal:
        require_fit(tiny.build("mmpretrain", 18), deeper, source="a.pth", target="the backbone")
    message = str(refusal.value)
    assert "a.pth does not fit the backbone: the weights are those of a ResNet-34 (7x7 stem, width 64)" in message
    assert "the model is a ResNet-18 (7x7 stem, width 64). 80 tensors differ: layer1.2." in message


def test_other_widths_and_stems_are_named_by_shape(resnet18):
    narrow = tiny.build("mmpretrain", 18, type="ResNet_CIFAR", base_channels=16, stem_channels=16)
    with pytest.raises(
        BackboneMismatchError,
        match=r"the model is a ResNet-18 \(3x3 stem, width 16\).*conv1.weight is \(64, 3, 7, 7\) and should be \(16,",
    ):
        require_fit(narrow, resnet18, source="a.pth", target="it")


def test_a_deep_stem_does_not_pass_for_a_plain_one():
    with pytest.raises(BackboneMismatchError, match="deep stem, width 64.*7x7 stem, width 64.*conv1.weight is missing"):
        require_fit(
            tiny.build("mmpretrain", 50),
            plain_state(tiny.build("mmpretrain", 50, type="ResNetV1c")),
            source="a.pth",
            target="it",
        )


def test_a_stage_that_the_model_lacks_is_unused(resnet18):
    three = tiny.build("mmdet", 18, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,))
    unused = require_fit(three, resnet18, source="a.pth", target="it")
    assert set(unused) == {name for name in resnet18 if name.startswith("layer4.")}
    head = tiny.build("mmdet", 18, type="ResLayer", stage=3)
    unused = require_fit(head, resnet18, source="a.pth", target="it")
    assert set(unused) == {name for name in resnet18 if not name.startswith("layer4.")}


@pytest.mark.parametrize("spoiled", ["conv1.weight", "layer3.1.bn2.running_var", "layer4.0.downsample.1.bias"])
def test_one_layer_left_random_is_found(resnet18, spoiled):
    model = tiny.randomise(tiny.build("mmaction2", 18))
    assert require_carried(model, resnet18, source="a.pth", target="it") == 100
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if (
                name
                == {
                    "conv1.weight": "conv1.conv.weight",
                    "layer3.1.bn2.running_var": "layer3.1.conv2.bn.running_var",
                    "layer4.0.downsample.1.bias": "layer4.0.downsample.bn.bias",
                }[spoiled]
            ):
                tensor.view(-1)[-1] += 0.01
    with pytest.raises(BackboneMismatchError, match=f"told to load a.pth.*: 1 of 100 tensors differ, {spoiled}"):
        require_carried(model, resnet18, source="a.pth", target="it")


def test_kernels_inflated_in_time_are_summed():
    stem = nn.Sequential(OrderedDict(conv1=nn.Conv3d(2, 3, (5, 7, 7), bias=False)))
    flat = torch.randn(3, 2, 7, 7)
    stem.conv1.weight.data = (flat[:, :, None] / 5).expand(-1, -1, 5, -1, -1).clone()
    torch.testing.assert_close(plain_state(stem)["conv1.weight"], flat)
