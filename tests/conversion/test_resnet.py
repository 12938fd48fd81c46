"""What the frameworks call the layers of a ResNet, and architectures read off weights, against the networks."""

from __future__ import annotations

import pytest
import tiny_backbones as tiny
import torch

from nda_mm.conversion.resnet import (
    BackboneMismatchError,
    describe,
    host_names,
    plain_names,
    require_whole,
    to_plain,
)


@pytest.mark.parametrize("host", tiny.HOSTS[:3])
def test_every_name_of_a_host_is_translated_to_torchvisions_and_back(host):
    theirs, plain = (
        sorted(name for name in tiny.build(each, 50).state_dict() if not name.startswith("fc."))
        for each in (host, "torchvision")
    )
    assert sorted(plain_names(theirs).values()) == plain
    assert sorted(host_names(plain, host).values()) == theirs


@pytest.mark.parametrize("pooled", [False, True])
def test_deep_stems_and_pooled_shortcuts_of_mmdet_are_those_of_mmpretrain(pooled):
    mmdet = list(tiny.build("mmdet", 50, deep_stem=True, avg_down=pooled).state_dict())
    mmpretrain = list(tiny.build("mmpretrain", 50, deep_stem=True, avg_down=pooled).state_dict())
    assert sorted(mmdet) != sorted(mmpretrain)
    assert sorted(plain_names(mmdet).values()) == sorted(mmpretrain)
    assert sorted(host_names(mmpretrain, "mmdet").values()) == sorted(mmdet)


def test_what_mmaction2_wraps_to_shift_it_in_time_keeps_its_plain_name():
    shifted = tiny.build("mmaction2", 18, type="ResNetTSM", shift_place="blockres").state_dict()
    assert any(".net." in name for name in shifted)
    assert set(map(to_plain, shifted)) == {to_plain(name) for name in tiny.build("mmaction2", 18).state_dict()}


def weights_of(module):
    return {to_plain(k): v for k, v in module.state_dict().items() if not k.startswith("fc.")}


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        (dict(depth=18), "ResNet-18 (7x7 stem, width 64)"),
        (dict(depth=50), "ResNet-50 (7x7 stem, width 64)"),
        (tiny.SMALL, "ResNet-18 (3x3 stem, width 16)"),
        (dict(type="ResNetV1d", depth=50), "ResNet-50 (deep stem, width 64, pooled shortcuts)"),
        (
            dict(depth=50, num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(2,)),
            "ResNet-50 (7x7 stem, width 64, first 3 stages)",
        ),
    ],
)
def test_a_network_is_recognised_and_whole(settings, label):
    weights = weights_of(tiny.build("mmpretrain", **settings))
    architecture = describe(weights)
    assert str(architecture) == label
    require_whole(weights, architecture, "it")


def test_each_missing_tensor_is_named():
    weights = weights_of(tiny.build("torchvision", 18))
    architecture = describe(weights)
    for name in ("bn1.running_var", "layer3.0.downsample.0.weight"):
        rest = {each: value for each, value in weights.items() if each != name}
        with pytest.raises(BackboneMismatchError, match=rf"not a whole backbone.*ResNet-18.*missing: {name}$"):
            require_whole(rest, architecture, "a.pth")
    without_counters = {name: value for name, value in weights.items() if "num_batches" not in name}
    require_whole(without_counters, architecture, "an old file")


def test_a_missing_block_or_stage_is_seen_and_another_network_is_no_resnet():
    assert describe(weights_of(tiny.build("mmpretrain", 50, type="SEResNet"))) is None
    weights = weights_of(tiny.build("torchvision", 50))
    fewer = {name: value for name, value in weights.items() if not name.startswith("layer3.5.")}
    with pytest.raises(BackboneMismatchError, match="3-4-5-3 bottlenecks"):
        require_whole(fewer, describe(fewer), "a.pth")
    with pytest.raises(BackboneMismatchError, match=r"stages \[1, 3, 4\] are there"):
        describe({name: value for name, value in weights.items() if not name.startswith("layer2.")})


def test_a_layer_that_does_not_fit_the_next_is_named():
    weights = weights_of(tiny.build("torchvision", 18))
    weights["layer2.0.bn1.weight"] = torch.ones(127)
    with pytest.raises(BackboneMismatchError, match=r"layer2.0.conv1 gives 128 channels, layer2.0.bn1"):
        require_whole(weights, describe(weights), "a.pth")


def test_a_network_without_running_statistics_is_whole_without_them_and_only_without_all() -> None:
    bare = tiny.build("mmaction2", **tiny.DPC, norm_cfg=dict(type="BN3d", track_running_stats=False))
    weights = weights_of(bare)
    require_whole(weights, describe(weights), "a.pth")
    with_one = {**weights, "bn1.running_mean": torch.zeros(4)}
    with pytest.raises(BackboneMismatchError, match=r"of which 39 tensors are missing: bn1.running_var"):
        require_whole(with_one, describe(with_one), "a.pth")
    without = {name: value for name, value in weights.items() if name != "layer3.0.conv2.weight"}
    with pytest.raises(BackboneMismatchError, match=r"2D3D-ResNet-18.*1 tensors are missing: layer3.0.conv2.weight"):
        require_whole(without, describe(without), "a.pth")
