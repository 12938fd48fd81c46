"""From still pictures to video: one 2-D file in mmaction2's three kinds of recogniser."""

from __future__ import annotations

import pytest
import tiny_backbones as tiny
import torch

from nda_mm.conversion import convert_backbone
from nda_mm.conversion.checks import plain_state, require_carried
from nda_mm.utils.files import recipe_path

SMALL = dict(type="ResNet_CIFAR", depth=18, base_channels=16, stem_channels=16)


def still(frame: torch.Tensor, frames: int) -> torch.Tensor:
    """One picture, (B, C, H, W), as a clip, (B, C, T, H, W)."""
    return frame[:, :, None].expand(-1, -1, frames, -1, -1).contiguous()


@pytest.fixture
def resnet50(tmp_path):
    """A ResNet-50 of mmpretrain's, and the converted file that recognisers load by ``pretrained``."""
    net = tiny.randomise(tiny.build("mmpretrain", 50))
    convert_backbone(tiny.save(net, "mmpretrain", tmp_path / "a.pth"), tmp_path / "r50.pth", "torchvision")
    return net, str(tmp_path / "r50.pth")


def test_an_inflated_network_sees_a_still_clip_as_the_flat_one_sees_the_picture(resnet50):
    """mmaction2's I3D, strides in time and all, in the middle of a clip so long that its ends are out of sight."""
    flat, file = resnet50
    inflated = tiny.build(
        "mmaction2",
        50,
        type="ResNet3d",
        pretrained=file,
        conv1_kernel=(5, 7, 7),
        conv1_stride_t=2,
        pool1_stride_t=2,
        inflate=((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
        zero_init_residual=False,
    )
    inflated.init_weights()
    assert require_carried(inflated, plain_state(flat), source=file, target="I3D") == 265
    picture = tiny.images(batch=1, size=32)
    expected = tiny.features(flat, picture)
    # Behind the stem and the pools there is one step for 8 frames; 9 kernels of three look 9 steps to each side.
    clip = tiny.features(inflated, still(picture, 8 * 21))
    assert clip.shape[2] == 21
    scale = expected.abs().max()
    torch.testing.assert_close(clip[:, :, 10] / scale, expected / scale, rtol=0, atol=1e-5)
    assert (clip[:, :, 0] - expected).abs().max() > 1e-3 * scale  # at the ends, frames of nothing are seen


def test_the_small_backbone_of_the_digits_is_inflated_kernel_by_kernel(tmp_path):
    from mmengine.config import Config

    flat = tiny.randomise(tiny.build("mmpretrain", **SMALL))
    convert_backbone(tiny.save(flat, "mmpretrain", tmp_path / "a.pth"), tmp_path / "small.pth", "mmpretrain")
    settings = Config.fromfile(recipe_path("i3d_digits.py")).model.backbone.to_dict()
    settings.update(pretrained=str(tmp_path / "small.pth"), temporal_strides=(1, 1, 1, 1))
    inflated = tiny.build("mmaction2", **settings)
    inflated.init_weights()
    picture = tiny.images(batch=1, size=16)
    expected = tiny.features(flat, picture)
    clip = tiny.features(inflated, still(picture, 37))  # 17 kernels of three and one of the shortcuts' own
    scale = expected.abs().max()
    torch.testing.assert_close(clip[:, :, 18] / scale, expected / scale, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_tsn_and_tsm_load_the_same_file(resnet50):
    flat, file = resnet50
    frames = tiny.images(batch=8, size=32)
    tsn = tiny.build("mmaction2", 50, pretrained=file)
    tsm = tiny.build("mmaction2", 50, type="ResNetTSM", pretrained=file, num_segments=8)
    unshifted = tiny.build("mmaction2", 50, type="ResNetTSM", pretrained=file, is_shift=False)
    for module in (tsn, tsm, unshifted):
        module.init_weights()
        assert require_carried(module, plain_state(flat), source=file, target="it") == 265
    expected = tiny.features(flat, frames)
    torch.testing.assert_close(tiny.features(tsn, frames), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(tiny.features(unshifted, frames), expected, rtol=1e-6, atol=1e-6)
    assert (tiny.features(tsm, frames) - expected).abs().max() > 1e-3
