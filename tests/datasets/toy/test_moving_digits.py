"""Moving digits: motion tells the class, one frame does not, and the pictures move as the class says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from nda_mm.datasets.toy.digits import Digits
from nda_mm.datasets.toy.moving_digits import MOTIONS, MovingDigits, render, write_videos

CLASSES = tuple(MOTIONS)


@pytest.fixture(scope="module")
def digit():
    return Digits(split="test", size=16, channels=1).images[5, ..., 0].astype(float)


@pytest.fixture(scope="module")
def clips():
    return MovingDigits(num_clips=800, num_frames=40)


class TestRender:
    def test_turned_and_enlarged_as_scipy_does_it(self, digit):
        """An independent bilinear interpolation, for a digit in the middle of the frame."""
        for angle, phase in ((0.0, 0.3), (0.13, 0.0), (0.61, 0.9)):
            side = 40 * 0.35 * 2**phase
            turn = 2 * np.pi * angle
            rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])  # rows, columns
            matrix = rotation * 16 / side
            offset = np.array([7.5, 7.5]) - matrix @ np.array([19.5, 19.5])
            expected = ndimage.affine_transform(np.pad(digit, 1), matrix, offset + 1, (40, 40), order=1)
            frame = render(digit, np.array([[0.5, 0.5, angle, phase]]), 40)[0]
            np.testing.assert_allclose(frame, expected, atol=1e-9)

    def test_phases_are_right_down_clockwise_and_larger(self, digit):
        still, turned, larger = render(
            digit, np.array([[0.5, 0.5, 0, 0.3], [0.5, 0.5, 0.25, 0.3], [0.5, 0.5, 0, 0.6]]), 32
        )
        np.testing.assert_allclose(turned, np.rot90(still, -1), atol=1e-9)
        assert larger.sum() > 1.2 * still.sum()
        assert CLASSES == ("right", "left", "down", "up", "clockwise", "counterclockwise", "growing", "shrinking")
        assert list(MOTIONS.values()) == [(axis, way) for axis in range(4) for way in (1, -1)]

    def test_the_frame_is_a_torus(self, digit):
        still = render(digit, np.array([[0.5, 0.5, 0.1, 0.6]]), 32)[0]
        for right, down in ((5, 0), (0, 9), (20, 17)):
            moved = render(digit, np.array([[(0.5 + right / 32) % 1, (0.5 + down / 32) % 1, 0.1, 0.6]]), 32)[0]
            np.testing.assert_allclose(moved, np.roll(still, (down, right), axis=(0, 1)), atol=1e-9)


class TestMotion:
    def test_one_phase_advances_at_a_steady_pace_and_the_others_rest(self, clips):
        for clip in range(40):
            axis, direction = MOTIONS[CLASSES[clip % 8]]
            steps = np.diff(clips.phases(clip)[0], axis=0)
            steps = (steps + 0.5) % 1 - 0.5  # around the cycle
            pace = steps[0, axis] * direction
            assert 1 / 32 <= pace <= 1 / 16
            np.testing.assert_allclose(steps[:, axis], direction * pace, atol=1e-12)
            assert np.all(np.delete(steps, axis, axis=1) == 0)

    def test_every_phase_of_every_frame_is_uniform_in_every_class(self, clips):
        paths = np.stack([clips.phases(clip)[0] for clip in range(800)])
        values = [
            stats.kstest(paths[label::8, frame, axis], "uniform").pvalue
            for label in range(8)
            for frame in (0, 13, 39)
            for axis in range(4)
        ]
        assert min(values) > 0.05 / len(values)  # Bonferroni
        assert stats.kstest(values, "uniform").pvalue > 0.001


@pytest.mark.parametrize(("label", "axis"), [(8, 0), (9, 1)])
def test_bouncing_is_to_and_fro_at_a_steady_pace_between_the_edges(label, axis):
    """Between two frames it goes on by one pace, or to an edge and back."""
    bouncing = MovingDigits(num_clips=200, num_frames=40, bouncing=True)
    for clip in range(label, 200, 10):
        path = bouncing.phases(clip)[0]
        assert np.all(np.diff(np.delete(path, axis, axis=1), axis=0) == 0)
        first, second = path[:-1, axis], path[1:, axis]
        steps = np.abs(second - first)
        pace = steps.max()
        assert 1 / 32 <= pace <= 1 / 16
        by_an_edge = np.minimum(first + second, 2 - first - second)
        goes_on, turns = np.abs(steps - pace) < 1e-9, np.abs(by_an_edge - pace) < 1e-9
        assert np.all(goes_on | turns) and turns.any()
        changes = np.flatnonzero(np.diff(np.sign(second - first)))
        assert np.all(turns[changes] | turns[changes + 1])  # and nowhere else


class TestClips:
    def test_a_clip_depends_on_split_seed_and_number_alone(self):
        settings = dict(num_clips=8, num_frames=6)
        first = MovingDigits(**settings)
        forward = [first[i]["array"] for i in range(8)]
        again = MovingDigits(**settings, cache=False)
        longer = MovingDigits(num_clips=99, num_frames=6)
        for i in reversed(range(8)):
            for clips in (again, first, longer):  # the first has kept them
                np.testing.assert_array_equal(clips[i]["array"], forward[i])
        for other in (MovingDigits(**settings, seed=1), MovingDigits(split="test", **settings)):
            assert all((other[i]["array"] != forward[i]).any() for i in range(8))

    @pytest.mark.parametrize("settings", [dict(split="val"), dict(size=8), dict(pace=(0.1, 0.5))])
    def test_bad_settings_are_refused(self, settings):
        with pytest.raises(ValueError, match=next(iter(settings))):
            MovingDigits(**settings)


def test_mmaction2_reads_back_what_was_written(tmp_path):
    pytest.importorskip("cv2")
    pytest.importorskip("decord")
    pytest.importorskip("mmaction.datasets")
    from mmengine.registry import DATASETS, DefaultScope

    clips = MovingDigits(split="test", num_clips=4, num_frames=10, size=64)
    annotations = write_videos(clips, tmp_path)
    pipeline = [
        dict(type="DecordInit"),
        dict(type="SampleFrames", clip_len=1, num_clips=10, test_mode=True),
        dict(type="DecordDecode"),
        dict(type="FormatShape", input_format="NCHW"),
        dict(type="PackActionInputs"),
    ]
    settings = dict(ann_file=str(annotations), data_prefix=dict(video=str(tmp_path)), pipeline=pipeline)
    with DefaultScope.overwrite_default_scope("mmaction"):
        videos = DATASETS.build(dict(type="VideoDataset", **settings))
        items = [videos[i] for i in range(len(videos))]
    assert len(items) == 4
    for index, item in enumerate(items):
        written = np.transpose(clips[index]["array"], (0, 3, 1, 2)).astype(int)
        read = item["inputs"].numpy().astype(int)
        assert item["data_samples"].gt_label.tolist() == [index % 8]
        assert np.abs(read - written).mean() < 1.5  # JPEG rounds; another frame or clip is off by far more


def test_the_list_is_written_last(tmp_path, monkeypatch):
    """A folder that has its list is complete; an interrupted run leaves none, nor an outdated one."""
    pytest.importorskip("cv2")
    (tmp_path / "train_list_videos.txt").write_text("train/old.avi 0\n")
    clips = MovingDigits(num_clips=2, num_frames=2)
    read = clips.get_data_info

    def stop(index):
        if index:
            raise KeyboardInterrupt
        return read(index)

    monkeypatch.setattr(clips, "get_data_info", stop)
    with pytest.raises(KeyboardInterrupt):
        write_videos(clips, tmp_path)
    assert not (tmp_path / "train_list_videos.txt").exists()
