"""Blocks of frames behind mmaction2's readers, gray frames, and color jitter compared with torchvision's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("mmcv")
pytest.importorskip("torchvision")

from torchvision.transforms import functional

from nda_mm.datasets.videos.transforms import (
    OPERATIONS,
    ColorChange,
    FrameColorJitter,
    RandomFrameGrey,
    SampleBlocks,
    change_color,
)
from nda_mm.utils.random_state import seed_global_generators

PACK = [dict(type="FormatShape", input_format="NCTHW"), dict(type="PackActionInputs")]


def window(start: int, num_blocks: int, block_len: int, interval: int) -> list[list[int]]:
    """A block goes on where the one before it stopped."""
    frames = list(range(start, start + num_blocks * block_len * interval, interval))
    return [frames[block * block_len :][:block_len] for block in range(num_blocks)]


def blocks_of(results: dict) -> list[list[int]]:
    return results["frame_inds"].reshape(results["num_clips"], results["clip_len"]).tolist()


def build(config: dict):
    pytest.importorskip("mmaction.datasets")
    from mmengine.registry import DATASETS, DefaultScope

    with DefaultScope.overwrite_default_scope("mmaction"):
        return DATASETS.build(config)


class TestWhichFrames:
    def test_the_defaults_are_dpcs(self):
        sample = SampleBlocks(test_mode=True)
        results = sample({"total_frames": 120, "start_index": 0})
        assert sample.span == 118
        assert blocks_of(results) == window(1, 8, 5, 3)
        assert (results["num_clips"], results["clip_len"], results["frame_interval"]) == (8, 5, 3)

    def test_testing_takes_the_middle(self):
        sample = SampleBlocks(num_blocks=2, block_len=3, frame_interval=2, test_mode=True)
        for total, start in ((11, 0), (13, 1), (100, 44)):
            assert blocks_of(sample({"total_frames": total, "start_index": 0})) == window(start, 2, 3, 2)

    def test_training_takes_every_window_equally_often_and_no_other(self):
        sample = SampleBlocks(num_blocks=3, block_len=2, frame_interval=2)
        seed_global_generators(0)
        starts = []
        for _ in range(2000):
            blocks = blocks_of(sample({"total_frames": 20, "start_index": 0}))
            assert blocks == window(blocks[0][0], 3, 2, 2)
            starts.append(blocks[0][0])
        counts = np.bincount(starts)
        assert len(counts) == 20 - 11 + 1  # the last window ends with the last frame
        assert stats.chisquare(counts).pvalue > 0.001


class TestTooShort:
    def test_looped_from_the_first_frame_on(self):
        for test_mode in (False, True):
            sample = SampleBlocks(num_blocks=2, block_len=4, frame_interval=2, test_mode=test_mode)
            assert blocks_of(sample({"total_frames": 5, "start_index": 1})) == [[1, 3, 5, 2], [4, 1, 3, 5]]

    def test_refused_by_name(self):
        sample = SampleBlocks(too_short="refuse")
        with pytest.raises(ValueError, match=r"a/b\.avi has 117 frames"):
            sample({"total_frames": 117, "start_index": 0, "filename": "a/b.avi"})
        assert len(sample({"total_frames": 118, "start_index": 0})["frame_inds"]) == 40

    def test_frames_in_memory_are_flipped_alike(self):
        """mmaction2's Flip works in place: on a frame that stood twice in the clip, it would work twice."""
        pipeline = [
            dict(type="nda_mm.SampleBlocks", num_blocks=2, block_len=5, frame_interval=1, test_mode=True),
            dict(type="ArrayDecode"),
            dict(type="Flip", flip_ratio=1.0),
            *PACK,
        ]
        clips = build(dict(type="nda_mm.MovingDigits", num_clips=8, num_frames=7, pipeline=pipeline))
        read = clips[3]["inputs"].numpy()[:, 0].reshape(10, 32, 32)
        np.testing.assert_array_equal(read, clips.render_clip(3)[[0, 1, 2, 3, 4, 5, 6, 0, 1, 2], :, ::-1])


def test_numpys_global_generator_decides(photo):
    """Which an exact resume seeds for each sample, see test_data_stream.py."""
    steps = (SampleBlocks(num_blocks=2, block_len=2), RandomFrameGrey(), FrameColorJitter())
    samples = []
    for seed in (0, 0, 1):
        seed_global_generators(seed)
        results = {"total_frames": 120, "start_index": 0, "imgs": [photo] * 4}
        for step in steps:
            results = step(results)
        samples.append((results["frame_inds"].tolist(), np.stack(results["imgs"]).tobytes()))
    assert samples[0] == samples[1]
    assert all(one != other for one, other in zip(samples[0], samples[2]))


@pytest.fixture
def clip() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3000, 2, 3, 3), dtype=np.uint8))


def channel_of(gray: np.ndarray, frame: np.ndarray) -> int | None:
    """Which channel of ``frame`` a frame shows three times, or None where it is as it was."""
    if (gray == frame).all():
        return None
    (channel,) = [c for c in range(3) if (gray == frame[..., c][..., None]).all()]
    return channel


def test_each_frame_has_a_draw_of_its_own_and_shows_any_of_its_channels(clip):
    before = np.stack(clip).copy()
    seed_global_generators(1)
    frames = RandomFrameGrey(prob=0.3)({"imgs": clip})["imgs"]
    channels = [channel_of(gray, frame) for gray, frame in zip(frames, clip)]
    gray = np.array([channel is not None for channel in channels])
    assert stats.binomtest(int(gray.sum()), 3000, 0.3).pvalue > 0.001
    assert stats.chisquare(np.bincount([c for c in channels if c is not None])).pvalue > 0.001
    # One frame tells nothing of the next.
    pairs = np.histogram2d(gray[:-1], gray[1:], bins=2)[0]
    assert stats.chi2_contingency(pairs).pvalue > 0.001
    np.testing.assert_array_equal(np.stack(clip), before)


def test_frames_without_color_are_refused():
    for transform in (RandomFrameGrey(), FrameColorJitter()):
        with pytest.raises(ValueError, match="imgs"):
            transform({"imgs": [np.zeros((4, 4))]})


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Every kind of color: noise, and a part of pure and gray ones."""
    frame = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    frame[:3] = [[[255, 0, 0]], [[7, 7, 7]], [[0, 255, 255]]]
    return frame


def torchvisions(frame: np.ndarray, change: ColorChange) -> np.ndarray:
    """The same in torchvision's floating-point operations."""
    image = torch.from_numpy(frame).permute(2, 0, 1).double() / 255
    for operation in change.order:
        image = getattr(functional, f"adjust_{operation}")(image, getattr(change, operation))
    return (image.permute(1, 2, 0) * 255).numpy()


def test_each_operation_and_all_four_in_any_order_are_torchvisions(photo):
    for operation in OPERATIONS:
        for strength in (-0.5, 0.25) if operation == "hue" else (0.0, 1.5):
            change = ColorChange(**{"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0, operation: strength})
            np.testing.assert_allclose(change_color(photo, change), torchvisions(photo, change), atol=0.51)
    draw = np.random.default_rng(1)
    for _ in range(12):
        order = tuple(np.array(OPERATIONS)[draw.permutation(4)].tolist())
        change = ColorChange(*draw.uniform(0.5, 1.5, 3), draw.uniform(-0.25, 0.25), order)
        np.testing.assert_allclose(change_color(photo, change), torchvisions(photo, change), atol=0.6)


class TestJitter:
    def test_strengths_are_uniform_and_orders_even(self):
        jitter = FrameColorJitter(0.5, 1.8, (0.2, 0.6), 0.25)
        seed_global_generators(0)
        changes = [jitter._draw() for _ in range(1200)]
        ranges = dict(brightness=(0.5, 1.5), contrast=(0, 2.8), saturation=(0.2, 0.6), hue=(-0.25, 0.25))
        for name, (low, high) in ranges.items():
            values = (np.array([getattr(change, name) for change in changes]) - low) / (high - low)
            assert stats.kstest(values, "uniform").pvalue > 0.001
        orders = Counter(change.order for change in changes)
        assert len(orders) == 24
        assert stats.chisquare(list(orders.values())).pvalue > 0.001

    @pytest.mark.parametrize(("per_frame", "kinds"), [(True, 12), (False, 1)])
    def test_a_draw_for_each_frame_or_one_for_all(self, photo, per_frame, kinds):
        seed_global_generators(2)
        clip = [photo.copy() for _ in range(12)]
        frames = FrameColorJitter(per_frame=per_frame)({"imgs": clip})["imgs"]
        assert len({frame.tobytes() for frame in frames}) == kinds
        assert all((frame == photo).all() for frame in clip)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (SampleBlocks, dict(num_blocks=0)),
        (SampleBlocks, dict(too_short="skip")),
        (RandomFrameGrey, dict(prob=1.5)),
        (FrameColorJitter, dict(hue=0.6)),
        (FrameColorJitter, dict(contrast=(1.2, 0.8))),
    ],
)
def test_bad_settings_are_refused(kind, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        kind(**settings)
