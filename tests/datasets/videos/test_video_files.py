"""Clips as video files, read back by mmaction2 and decord."""

from __future__ import annotations

import numpy as np
import pytest

from nda_mm.datasets.toy.moving_digits import MovingDigits
from nda_mm.datasets.videos.video_files import list_name, write_videos

pytest.importorskip("cv2")


def test_mmaction2_reads_back_what_was_written(tmp_path):
    pytest.importorskip("decord")
    pytest.importorskip("mmaction.datasets")
    from mmengine.registry import DATASETS, DefaultScope

    clips = MovingDigits(split="test", num_clips=16, num_frames=10, size=64)
    seen = []
    annotations = write_videos(clips, tmp_path, progress=seen.append)
    assert annotations == tmp_path / "test_list_videos.txt"
    assert seen == list(range(1, 17))
    pipeline = [
        dict(type="DecordInit"),
        dict(type="SampleFrames", clip_len=1, num_clips=10, test_mode=True),
        dict(type="DecordDecode"),
        dict(type="FormatShape", input_format="NCHW"),
        dict(type="PackActionInputs"),
    ]
    with DefaultScope.overwrite_default_scope("mmaction"):
        videos = DATASETS.build(
            dict(
                type="VideoDataset", ann_file=str(annotations), data_prefix=dict(video=str(tmp_path)), pipeline=pipeline
            )
        )
        items = [videos[i] for i in range(len(videos))]
    assert len(items) == 16
    for index, item in enumerate(items):
        written = np.transpose(clips[index]["array"], (0, 3, 1, 2)).astype(int)
        read = item["inputs"].numpy().astype(int)
        assert item["data_samples"].gt_label.tolist() == [index % 8]
        assert read.shape == written.shape == (10, 3, 64, 64)
        assert np.abs(read - written).mean() < 1.5  # JPEG rounds; another frame or clip is off by far more
        assert np.abs(np.roll(read, 1, axis=0) - written).mean() > np.abs(read - written).mean()


def test_colours_keep_their_order(tmp_path):
    decord = pytest.importorskip("decord")
    clips = MovingDigits(num_clips=1, num_frames=3, size=32)
    coloured = np.zeros((3, 32, 32, 3), dtype=np.uint8)
    coloured[..., 0] = 200  # red

    def red(index):
        return {"clip": 0, "label": 0, "array": coloured}

    clips.get_data_info = red
    write_videos(clips, tmp_path)
    frames = decord.VideoReader(str(tmp_path / "train" / "000000_right.avi"))[0].asnumpy()
    assert frames[..., 0].mean() > 180 and frames[..., 2].mean() < 20


def test_the_list_is_written_last(tmp_path):
    """A folder that has its list is complete; a run that is cut off leaves none, nor an outdated one."""
    (tmp_path / list_name("train")).write_text("train/old.avi 0\n")

    def stop(count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_videos(MovingDigits(num_clips=2, num_frames=2), tmp_path, progress=stop)
    assert not (tmp_path / list_name("train")).exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "train").write_text("in the way")
    with pytest.raises(OSError, match="train"):
        write_videos(MovingDigits(num_clips=1, num_frames=2), tmp_path)
