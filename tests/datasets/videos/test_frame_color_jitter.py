"""Colour jitter, held to torchvision's, and its draws."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("mmcv")
pytest.importorskip("torchvision")

from torchvision.transforms import functional

from nda_mm.datasets.videos.frame_color_jitter import OPERATIONS, ColorChange, FrameColorJitter, change_color
from nda_mm.utils.random_state import seed_global_generators


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Every kind of colour: noise, and a part of pure and grey ones."""
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    frame[:3] = [[[255, 0, 0]], [[7, 7, 7]], [[0, 255, 255]]]
    return frame


def torchvisions(frame: np.ndarray, change: ColorChange) -> np.ndarray:
    """The same in torchvision's floating-point operations."""
    image = torch.from_numpy(frame).permute(2, 0, 1).double() / 255
    for operation in change.order:
        image = getattr(functional, f"adjust_{operation}")(image, getattr(change, operation))
    return (image.permute(1, 2, 0) * 255).numpy()


class TestChange:
    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize("strength", [0.5, 0.83, 1.5, 0.0])
    def test_each_operation_is_torchvisions(self, photo, operation, strength):
        strength = (strength - 1) / 2 if operation == "hue" else strength
        change = ColorChange(**{"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0, operation: strength})
        changed = change_color(photo, change)
        assert changed.dtype == np.uint8
        np.testing.assert_allclose(changed, torchvisions(photo, change), atol=0.51)

    def test_all_four_in_any_order_are_torchvisions(self, photo):
        draw = np.random.default_rng(1)
        results = set()
        for _ in range(24):
            order = tuple(np.array(OPERATIONS)[draw.permutation(4)].tolist())
            change = ColorChange(*draw.uniform(0.5, 1.5, 3), draw.uniform(-0.25, 0.25), order)
            changed = change_color(photo, change)
            np.testing.assert_allclose(changed, torchvisions(photo, change), atol=0.6)
            results.add(changed.tobytes())
        assert len(results) == 24

    def test_nothing_to_do_changes_nothing(self, photo):
        np.testing.assert_array_equal(change_color(photo, ColorChange(1, 1, 1, 0)), photo)
        floats = photo.astype(np.float32)
        np.testing.assert_allclose(change_color(floats, ColorChange(1, 1, 1, 0)), floats, atol=1e-4)


class TestDraws:
    def test_strengths_are_uniform_and_orders_even(self):
        jitter = FrameColorJitter(0.5, 0.4, (0.2, 0.6), 0.25)
        seed_global_generators(0)
        changes = [jitter._draw() for _ in range(2400)]
        ranges = dict(brightness=(0.5, 1.5), contrast=(0.6, 1.4), saturation=(0.2, 0.6), hue=(-0.25, 0.25))
        for name, (low, high) in ranges.items():
            values = (np.array([getattr(change, name) for change in changes]) - low) / (high - low)
            assert stats.kstest(values, "uniform").pvalue > 0.001
        orders = Counter(change.order for change in changes)
        assert len(orders) == 24
        assert stats.chisquare(list(orders.values())).pvalue > 0.001

    def test_a_width_above_one_stops_at_zero(self):
        assert FrameColorJitter(brightness=1.8).ranges[0] == (0, 2.8)

    @pytest.mark.parametrize(("per_frame", "kinds"), [(True, 12), (False, 1)])
    def test_a_draw_for_each_frame_or_one_for_all(self, photo, per_frame, kinds):
        seed_global_generators(2)
        clip = [photo.copy() for _ in range(12)]
        frames = FrameColorJitter(per_frame=per_frame)({"imgs": clip})["imgs"]
        assert len({frame.tobytes() for frame in frames}) == kinds
        assert all((frame == photo).all() for frame in clip)
        assert not any(frame.tobytes() == photo.tobytes() for frame in frames)

    def test_a_share_of_the_clips_is_left_alone(self, photo):
        seed_global_generators(3)
        jitter = FrameColorJitter(prob=0.3)
        clips = [jitter({"imgs": [photo[:2, :2]]})["imgs"][0] for _ in range(600)]
        changed = sum(not np.array_equal(clip, photo[:2, :2]) for clip in clips)
        assert stats.binomtest(changed, 600, 0.3).pvalue > 0.001

    def test_the_same_seed_the_same_colours(self, photo):
        def draw(seed):
            seed_global_generators(seed)
            return np.stack(FrameColorJitter()({"imgs": [photo] * 4})["imgs"])

        np.testing.assert_array_equal(draw(3), draw(3))
        assert (draw(3) != draw(4)).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(prob=-0.1), "prob must be within 0 and 1, but got -0.1"),
        (dict(brightness=-1), "brightness must be at least 0, but got -1"),
        (dict(hue=0.6), "hue must be at least 0 and at most 0.5, but got 0.6"),
        (dict(hue=(-0.6, 0.1)), r"hue as a range must be \(low, high\) within \[-0.5, 0.5\], but got \(-0.6, 0.1\)"),
        (dict(contrast=(1.2, 0.8)), r"contrast as a range must be .low, high. within \[0, inf\], but got \(1.2, 0.8\)"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FrameColorJitter(**settings)


def test_mmaction2s_crop_and_flip_are_alike_in_all_frames():
    """What DPC needs beside this, and mmaction2 has: the crop of its two recipes, and the flip."""
    pytest.importorskip("mmaction.datasets")
    from mmcv.transforms import Compose
    from mmengine.registry import DefaultScope

    picture = np.random.default_rng(4).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    scaled = dict(type="Resize", scale=(16, 16), keep_ratio=False)
    crops = dict(type="RandomResizedCrop", area_range=(0.5, 1.0)), dict(type="RandomCrop", size=36)
    with DefaultScope.overwrite_default_scope("mmaction"):
        for crop in crops:
            pipeline = Compose([crop, scaled, dict(type="Flip", flip_ratio=0.5)])
            seed_global_generators(5)
            seen = set()
            for _ in range(20):
                frames = [picture.copy() for _ in range(6)]
                frames = pipeline({"imgs": frames, "img_shape": (40, 50), "modality": "RGB"})["imgs"]
                assert len({frame.tobytes() for frame in frames}) == 1
                assert frames[0].shape == (16, 16, 3)
                seen.add(frames[0].tobytes())
            assert len(seen) > 15
