"""Blocks of frames behind every reader of mmaction2's, grey frames, and colour jitter held to torchvision's."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

pytest.importorskip("mmcv")
pytest.importorskip("torchvision")

from tiny_videos import numbered_frames, read_numbers, write_video
from torchvision.transforms import functional

from nda_mm.datasets import MovingDigits
from nda_mm.datasets.toy.moving_digits import write_videos
from nda_mm.datasets.videos.transforms import (
    OPERATIONS,
    ColorChange,
    FrameColorJitter,
    RandomFrameGrey,
    SampleBlocks,
    change_color,
)
from nda_mm.utils.random_state import seed_global_generators

READ_VIDEO = [dict(type="DecordInit"), dict(type="DecordDecode")]
PACK = [dict(type="FormatShape", input_format="NCTHW"), dict(type="PackActionInputs")]


def window(start: int, num_blocks: int, block_len: int, interval: int) -> list[list[int]]:
    """Frame by frame, as the paper's figure reads: a block goes on where the one before it stopped."""
    blocks, frame = [], start
    for _ in range(num_blocks):
        block = []
        for _ in range(block_len):
            block.append(frame)
            frame += interval
        blocks.append(block)
    return blocks


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
        assert results["frame_inds"].dtype == np.int32

    @pytest.mark.parametrize(("total", "start"), [(11, 0), (12, 0), (13, 1), (100, 44)])
    def test_testing_takes_the_middle(self, total, start):
        sample = SampleBlocks(num_blocks=2, block_len=3, frame_interval=2, test_mode=True)
        for _ in range(3):
            assert blocks_of(sample({"total_frames": total, "start_index": 0})) == window(start, 2, 3, 2)

    def test_training_takes_every_window_equally_often_and_no_other(self):
        sample = SampleBlocks(num_blocks=3, block_len=2, frame_interval=2)
        seed_global_generators(0)
        starts = []
        for _ in range(4000):
            blocks = blocks_of(sample({"total_frames": 20, "start_index": 0}))
            assert blocks == window(blocks[0][0], 3, 2, 2)
            starts.append(blocks[0][0])
        counts = np.bincount(starts)
        assert len(counts) == 20 - 11 + 1  # the last window ends with the last frame
        assert stats.chisquare(counts).pvalue > 0.001

    def test_frames_count_from_the_readers_first(self):
        sample = SampleBlocks(num_blocks=2, block_len=2, frame_interval=1, test_mode=True)
        assert blocks_of(sample({"total_frames": 4, "start_index": 1})) == window(1, 2, 2, 1)


class TestTooShort:
    def test_looped_from_the_first_frame_on(self):
        for test_mode in (False, True):
            sample = SampleBlocks(num_blocks=2, block_len=4, frame_interval=2, test_mode=test_mode)
            assert blocks_of(sample({"total_frames": 5, "start_index": 1})) == [[1, 3, 5, 2], [4, 1, 3, 5]]

    def test_mmaction2_loops_the_same_frames(self):
        pytest.importorskip("mmaction.datasets")
        from mmaction.datasets.transforms import SampleFrames

        for total in (1, 7, 30, 117):
            ours = SampleBlocks()({"total_frames": total, "start_index": 0})["frame_inds"]
            theirs = SampleFrames(clip_len=40, frame_interval=3)({"total_frames": total, "start_index": 0})
            assert ours.tolist() == theirs["frame_inds"].tolist()

    @pytest.mark.parametrize(
        ("where", "named"), [(dict(filename="a/b.avi"), "a/b.avi"), (dict(frame_dir="a/c"), "a/c"), ({}, "clip 7")]
    )
    def test_refused_by_name_with_the_ways_out(self, where, named):
        sample = SampleBlocks(too_short="refuse")
        expected = (
            f"{named} has 117 frames, but 8 blocks of 5 frames with a frame_interval of 3 span 118. Set "
            "too_short='loop'.*--min-frames 118"
        )
        with pytest.raises(ValueError, match=expected):
            sample({"total_frames": 117, "start_index": 0, "sample_idx": 7, **where})
        assert len(sample({"total_frames": 118, "start_index": 0})["frame_inds"]) == 40

    def test_an_empty_clip_cannot_be_looped(self):
        with pytest.raises(ValueError, match="e.avi has 0 frames, .* span 118; remove it from the list"):
            SampleBlocks()({"total_frames": 0, "start_index": 0, "filename": "e.avi"})

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


class TestRefusals:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            (dict(num_blocks=0), "num_blocks must be an integer of at least 1, but got 0"),
            (dict(block_len=2.5), "block_len must be an integer of at least 1, but got 2.5"),
            (dict(frame_interval=True), "frame_interval must be an integer of at least 1, but got True"),
            (dict(too_short="skip"), "too_short must be one of loop, refuse, but got 'skip'"),
        ],
    )
    def test_bad_settings(self, settings, message):
        with pytest.raises(ValueError, match=message):
            SampleBlocks(**settings)

    def test_a_place_in_the_pipeline_before_the_reader(self):
        with pytest.raises(KeyError, match=r"SampleBlocks reads 'total_frames'.*after the reader"):
            SampleBlocks()({"filename": "a.avi"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Numbered frames as videos and as folders of raw frames, with their lists."""
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path_factory.mktemp("clips")
    for name, count in (("long", 40), ("short", 10)):
        frames = numbered_frames(count)
        write_video(folder / f"{name}.avi", frames)
        (folder / name).mkdir()
        for number, frame in enumerate(frames, 1):  # raw frames count from 1
            cv2.imwrite(str(folder / name / f"img_{number:05}.jpg"), frame)
    (folder / "videos.txt").write_text("long.avi 4\nshort.avi 5\n")
    (folder / "frames.txt").write_text("long 40 4\nshort 10 5\n")
    return folder


class TestReaders:
    """The numbers of the frames that arrive, read off the frames themselves."""

    SETTINGS = dict(type="nda_mm.SampleBlocks", num_blocks=3, block_len=4, frame_interval=2)

    def dataset(self, folder: Path, reader: str, **settings):
        sample = dict(self.SETTINGS, **settings)
        if reader == "VideoDataset":
            pytest.importorskip("decord")
            pipeline = [READ_VIDEO[0], sample, READ_VIDEO[1], *PACK]
            where = dict(ann_file=str(folder / "videos.txt"), data_prefix=dict(video=str(folder)))
        else:
            pipeline = [sample, dict(type="RawFrameDecode"), *PACK]
            where = dict(ann_file=str(folder / "frames.txt"), data_prefix=dict(img=str(folder)))
        return build(dict(type=reader, pipeline=pipeline, **where))

    @pytest.mark.parametrize("reader", ["VideoDataset", "RawframeDataset"])
    def test_blocks_arrive_in_order(self, folder, reader):
        clips = self.dataset(folder, reader)
        seed_global_generators(1)
        starts = set()
        for _ in range(8):
            item = clips[0]
            assert item["inputs"].shape == (3, 3, 4, 32, 32)
            numbers = read_numbers(item["inputs"].numpy()[:, 1, :, 16, 16])
            assert numbers.tolist() == window(int(numbers[0, 0]), 3, 4, 2)
            starts.add(int(numbers[0, 0]))
        assert len(starts) > 3 and min(starts) >= 0 and max(starts) <= 40 - 23
        assert item["data_samples"].gt_label.tolist() == [4]

    @pytest.mark.parametrize("reader", ["VideoDataset", "RawframeDataset"])
    def test_short_clips_and_the_middle_one(self, folder, reader):
        clips = self.dataset(folder, reader, test_mode=True)
        long, short = (read_numbers(clips[i]["inputs"].numpy()[:, 0, :, 5, 20]) for i in (0, 1))
        assert long.tolist() == window(8, 3, 4, 2)
        assert short.tolist() == [[0, 2, 4, 6], [8, 0, 2, 4], [6, 8, 0, 2]]

    @pytest.mark.parametrize(("reader", "name"), [("VideoDataset", "short.avi"), ("RawframeDataset", "short")])
    def test_refused_by_the_name_of_the_file(self, folder, reader, name):
        clips = self.dataset(folder, reader, too_short="refuse")
        assert clips[0]["inputs"].shape[0] == 3
        with pytest.raises(ValueError, match=f"{folder / name} has 10 frames, but 3 blocks of 4 .* span 23"):
            clips[1]

    def test_frames_told_by_those_before_them(self, tmp_path):
        """UCF101 and HMDB51 have few key frames; the frames asked for arrive, not the key frames next to them."""
        for number in range(2):
            write_video(tmp_path / f"{number}.avi", numbered_frames(50, step=5), codec="XVID")
        (tmp_path / "videos.txt").write_text("0.avi 0\n1.avi 1\n")
        clips = self.dataset(tmp_path, "VideoDataset", frame_interval=3)
        seed_global_generators(2)
        starts = set()
        for index in (0, 1, 0, 1, 0, 1):
            numbers = read_numbers(clips[index]["inputs"].numpy()[:, 1, :, 16, 16], step=5)
            assert numbers.tolist() == window(int(numbers[0, 0]), 3, 4, 3)
            starts.add(int(numbers[0, 0]))
        assert len(starts) > 3

    def test_moving_digits_from_files_are_those_in_memory(self, tmp_path):
        """Drawn in memory, or written as Motion JPEG and read back by decord: the same blocks, but for JPEG."""
        pytest.importorskip("decord")
        settings = dict(split="test", num_clips=8, num_frames=30, size=64, seed=5)
        annotations = write_videos(MovingDigits(**settings), tmp_path)
        sample = dict(type="nda_mm.SampleBlocks", num_blocks=4, block_len=5, frame_interval=1)
        in_memory = build(
            dict(type="nda_mm.MovingDigits", pipeline=[sample, dict(type="ArrayDecode"), *PACK], **settings)
        )
        where = dict(ann_file=str(annotations), data_prefix=dict(video=str(tmp_path)))
        in_files = build(dict(type="VideoDataset", pipeline=[READ_VIDEO[0], sample, READ_VIDEO[1], *PACK], **where))
        windows = set()
        for index in range(8):
            seed_global_generators(index)
            drawn = in_memory[index]["inputs"].numpy().astype(int)
            seed_global_generators(index)
            read = in_files[index]["inputs"].numpy().astype(int)
            assert np.abs(read - drawn).mean() < 1.5
            first = read[:, 0].reshape(20, -1)
            distances = np.abs(first[:1] - in_memory.render_clip(index).reshape(30, -1).astype(int)).mean(axis=1)
            windows.add(int(distances.argmin()))
            assert np.abs(drawn[0, 0, 0] - in_memory.render_clip(index)[distances.argmin()]).max() == 0
        assert len(windows) > 2


def test_a_sample_depends_on_its_place_in_the_stream_alone(tmp_path):
    """As an exact resume needs it: whichever process draws it, and wherever the stream is entered."""
    from mmengine.dataset import DefaultSampler, pseudo_collate
    from torch.utils.data import DataLoader

    from nda_mm.engine.data_stream import BatchStream, build_exact_dataloader

    pipeline = [
        dict(type="nda_mm.SampleBlocks", num_blocks=2, block_len=2, frame_interval=1),
        dict(type="ArrayDecode"),
        dict(type="RandomResizedCrop", area_range=(0.5, 1.0)),
        dict(type="Resize", scale=(32, 32), keep_ratio=False),
        dict(type="Flip", flip_ratio=0.5),
        dict(type="nda_mm.RandomFrameGrey"),
        dict(type="nda_mm.FrameColorJitter"),
        *PACK,
    ]
    clips = build(dict(type="nda_mm.MovingDigits", num_clips=12, pipeline=pipeline))

    def batches(workers: int, start: int, count: int) -> list[np.ndarray]:
        loader = DataLoader(
            clips, batch_size=2, num_workers=workers, sampler=DefaultSampler(clips, seed=3), collate_fn=pseudo_collate
        )
        stream = BatchStream(build_exact_dataloader(None, loader, seed=7, rank=0), 0, start)
        return [np.stack([np.asarray(clip) for clip in next(stream)["inputs"]]) for _ in range(count)]

    straight = batches(0, 0, 5)
    np.testing.assert_array_equal(batches(2, 0, 5), straight)
    np.testing.assert_array_equal(batches(0, 3, 2), straight[3:])
    assert len({batch.tobytes() for batch in straight}) == 5


@pytest.fixture
def clip() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (3000, 2, 3, 3), dtype=np.uint8))


def channel_of(grey: np.ndarray, frame: np.ndarray) -> int | None:
    """Which channel of ``frame`` a frame shows three times, or None where it is as it was."""
    if (grey == frame).all():
        return None
    (channel,) = [c for c in range(3) if (grey == frame[..., c][..., None]).all()]
    return channel


def test_each_frame_has_a_draw_of_its_own_and_shows_any_of_its_channels(clip):
    before = np.stack(clip).copy()
    seed_global_generators(1)
    frames = RandomFrameGrey(prob=0.3)({"imgs": clip})["imgs"]
    channels = [channel_of(grey, frame) for grey, frame in zip(frames, clip)]
    grey = np.array([channel is not None for channel in channels])
    assert stats.binomtest(int(grey.sum()), 3000, 0.3).pvalue > 0.001
    assert stats.chisquare(np.bincount([c for c in channels if c is not None])).pvalue > 0.001
    # One frame tells nothing of the next.
    pairs = np.histogram2d(grey[:-1], grey[1:], bins=2)[0]
    assert stats.chi2_contingency(pairs).pvalue > 0.001
    np.testing.assert_array_equal(np.stack(clip), before)
    assert frames[0].dtype == np.uint8


def test_always_and_never(clip):
    frames = RandomFrameGrey(prob=1)({"imgs": clip[:50]})["imgs"]
    assert all((frame == frame[..., :1]).all() for frame in frames)
    assert all(a is b for a, b in zip(RandomFrameGrey(prob=0)({"imgs": clip[:50]})["imgs"], clip))


def test_the_same_seed_the_same_frames(clip):
    def draw(seed):
        seed_global_generators(seed)
        return np.stack(RandomFrameGrey()({"imgs": clip[:20]})["imgs"])

    np.testing.assert_array_equal(draw(3), draw(3))
    assert (draw(3) != draw(4)).any()


def test_what_is_no_clip_is_refused(clip):
    with pytest.raises(ValueError, match="prob must be within 0 and 1, but got 1.5"):
        RandomFrameGrey(prob=1.5)
    with pytest.raises(KeyError, match=r"RandomFrameGrey reads 'imgs', but the results hold \['frame_inds'\]"):
        RandomFrameGrey()({"frame_inds": [0]})
    with pytest.raises(ValueError, match=r"colour frames of \(H, W, 3\), but got \[\(4, 4\)\]; is this optical flow"):
        RandomFrameGrey()({"imgs": [np.zeros((4, 4))]})
    with pytest.raises(TypeError, match="list of frames under 'imgs', but got ndarray"):
        RandomFrameGrey()({"imgs": np.zeros((2, 4, 4, 3))})


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


class TestChangeColor:
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


class TestJitter:
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
def test_bad_settings_of_the_jitter_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FrameColorJitter(**settings)
