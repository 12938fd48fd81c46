"""mmaction2's readers, naming the files that they cannot read."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("decord")
pytest.importorskip("mmaction.datasets")
pytest.importorskip("cv2")

from tiny_videos import cut_off, damage_frames, numbered_frames, read_numbers, write_noise, write_video

from nda_mm.datasets.videos.readers import CheckedDecordDecode, CheckedDecordInit


def read(path: Path | str, frames: list[int], **settings) -> list[np.ndarray]:
    results = CheckedDecordInit(**settings)({"filename": str(path)})
    results["frame_inds"] = np.array(frames)
    return CheckedDecordDecode()(results)["imgs"]


def test_frames_are_those_of_the_host(tmp_path):
    from mmaction.datasets.transforms import DecordDecode, DecordInit

    path = write_noise(tmp_path / "a.avi", 12)
    theirs = DecordInit()({"filename": str(path)})
    theirs["frame_inds"] = np.array([3, 0, 11, 3])
    expected = DecordDecode()(theirs)
    ours = CheckedDecordInit()({"filename": str(path)})
    assert (ours["total_frames"], ours["avg_fps"]) == (12, 25) == (theirs["total_frames"], theirs["avg_fps"])
    np.testing.assert_array_equal(read(path, [3, 0, 11, 3]), expected["imgs"])


def test_files_that_cannot_be_opened_are_named(tmp_path):
    path = tmp_path / "c.avi"
    path.write_bytes(b"no video at all" * 50)
    with pytest.raises(OSError, match=f"{path} cannot be opened"):
        read(path, [0])
    with pytest.raises(FileNotFoundError, match=f"{tmp_path}/b.avi"):
        read(tmp_path / "b.avi", [0])


def test_frames_that_cannot_be_decoded(tmp_path):
    path = damage_frames(write_noise(tmp_path / "d.avi", 60), range(30, 34))
    with pytest.raises(OSError, match=f"frames 28 to 36 of the video {path}"):
        read(path, [28, 32, 36])


@pytest.mark.slow
def test_a_cut_off_video_kills_the_hosts_reader_and_not_ours(tmp_path):
    """Why files are opened by their path: once decord has read past the end of the bytes, no error is left to catch.

    Should the first half fail with a newer decord, the host's reader will do.
    """
    # Long, since decord decodes ahead of what it is asked for, and might come to the place of the cut.
    path = cut_off(write_video(tmp_path / "e.avi", numbered_frames(80, size=96).repeat(8, axis=0)))
    code = (
        "import sys; from nda_mm.compat import apply_patches; apply_patches('mmaction')\n"
        "from mmaction.datasets.transforms import DecordInit\n"
        "DecordInit()({'filename': sys.argv[1]})"
    )
    process = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True)
    assert process.returncode == -signal.SIGSEGV
    there = CheckedDecordInit()({"filename": str(path)})["total_frames"]
    assert 200 < there < 640
    assert read_numbers(np.stack(read(path, [0, 8, 16, 24]))[:, 40, 40, 1]).tolist() == [0, 1, 2, 3]
