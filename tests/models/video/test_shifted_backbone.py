"""The temporal shift around any backbone, against mmaction2's own TSM network."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("mmaction.models")

from mmengine.registry import MODELS, DefaultScope

from nda_mm.conversion.names import to_plain
from nda_mm.models.video.recognition import ShiftedBackbone

CIFAR = dict(type="mmpretrain.ResNet_CIFAR", depth=18, stem_channels=16, base_channels=16)


def randomise(module: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, torch.nn.modules.batchnorm._BatchNorm):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, 0, 0.2)
            part.running_mean.normal_(0, 0.2)
            part.running_var.uniform_(0.5, 1.5)
    module.eval()
    return module


@pytest.mark.parametrize(("depth", "shift_div"), [(18, 8), (50, 8), (18, 3)])
def test_features_are_those_of_mmaction2s_tsm(depth, shift_div):
    with DefaultScope.overwrite_default_scope("mmaction"):
        theirs = randomise(
            MODELS.build(dict(type="ResNetTSM", depth=depth, num_segments=4, shift_div=shift_div, pretrained2d=False))
        )
        ours = ShiftedBackbone(dict(type="mmaction.ResNet", depth=depth), num_segments=4, shift_div=shift_div)
    weights = {to_plain(name): value for name, value in theirs.state_dict().items()}
    own = ours.net.state_dict()
    ours.net.load_state_dict({name: weights[to_plain(name)] for name in own})
    ours.eval()
    frames = torch.randn(8, 3, 48, 48)
    with torch.no_grad():
        expected = theirs(frames)
        torch.testing.assert_close(ours(frames), expected, rtol=1e-6, atol=1e-6)
        unshifted = ours.net(frames.flip(0)).flip(0)
    assert (unshifted - expected).abs().max() > 0.01


def test_the_names_of_weights_are_those_of_the_backbone():
    net = MODELS.build(CIFAR)
    shifted = ShiftedBackbone(CIFAR, num_segments=4)
    assert list(shifted.state_dict()) == [f"net.{name}" for name in net.state_dict()]


def test_a_still_clip_is_unchanged_in_the_channels_that_stay_and_clips_do_not_mix():
    shifted = randomise(ShiftedBackbone(CIFAR, num_segments=4))
    clips = torch.randn(2, 4, 3, 32, 32)
    with torch.no_grad():
        together = shifted(clips.flatten(0, 1)).unflatten(0, (2, 4))
        alone = torch.stack([shifted(clip) for clip in clips])
        backwards = shifted(clips[0].flip(0)).flip(0)
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert (backwards - alone[0]).abs().max() > 0.01  # it sees the order


def test_a_copy_shifts_by_itself():
    shifted = randomise(ShiftedBackbone(CIFAR, num_segments=4))
    twin = copy.deepcopy(shifted)
    shifted.num_segments = 2
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        assert (twin(frames) - shifted(frames)).abs().max() > 1e-3


def test_what_cannot_be_shifted_is_refused():
    with pytest.raises(ValueError, match="VGG has no residual blocks with a conv1 in stages called layer1"):
        ShiftedBackbone(dict(type="mmpretrain.VGG", depth=11))
    with pytest.raises(ValueError, match="num_segments must be an integer of at least 2, but got 1"):
        ShiftedBackbone(CIFAR, num_segments=1)
    with pytest.raises(ValueError, match="6 frames are no whole number of clips of num_segments=4"):
        ShiftedBackbone(CIFAR, num_segments=4)(torch.zeros(6, 3, 32, 32))
