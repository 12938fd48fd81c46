"""Detection and video sets in tools/prepare_data.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_action_sets import make_hmdb51, make_ucf101
from tiny_archives import make_zip, noise

Prepare = Callable[..., str]


def test_bccd_is_unpacked_and_checked_as_the_recipes_do(tmp_path: Path, prepare: Prepare) -> None:
    pytest.importorskip("mmdet")
    xml = "<annotation><object><name>WBC</name><bndbox>{}</bndbox></object></annotation>"
    corners = "<xmin>{}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    members = {
        "BCCD-master/bccd/JPEGImages/a.png": noise(kind="png"),
        "BCCD-master/bccd/Annotations/a.xml": xml.format(corners.format(3)).encode(),
        "BCCD-master/bccd/JPEGImages/b.png": noise(kind="png"),
        "BCCD-master/bccd/Annotations/b.xml": xml.format(corners.format(9)).encode(),
        "BCCD-master/bccd/ImageSets/Main/train.txt": b"a\nb\n",
        "BCCD-master/README.md": b"left out",
    }
    out = tmp_path / "out"
    printed = prepare("bccd", make_zip(tmp_path / "a.zip", members), "--out", out)
    assert f"5 files in {out}" in printed
    assert "train: 2 images, boxes: RBC 0, WBC 1, Platelets 0" in printed
    assert "1 x unusable box: b.xml (WBC 9, 2, 9, 9)" in printed
    (out / "JPEGImages" / "b.png").unlink()
    # Checked again, without a zip.
    assert "1 x missing image: b.jpg" in prepare("bccd", "--out", out, status=1)
    assert "train.txt" in prepare("bccd", "--out", tmp_path / "nothing", status=1)


def test_digits_scenes_and_clips_are_written(tmp_path: Path, prepare: Prepare) -> None:
    pytest.importorskip("mmdet")
    scenes = ["digits_scenes", "--out", tmp_path / "scenes"]
    prepare(*scenes)
    assert "hold the scenes of" in prepare(*scenes, "--seed", "1", status=1)

    printed = prepare("moving_digits", "--out", tmp_path, "--clips", "9", "8", "--size", "32", "--bouncing")
    assert f"{tmp_path}/train_list_videos.txt: 9 clips of 40 frames" in printed
    lines = (tmp_path / "train_list_videos.txt").read_text().splitlines()
    assert lines[8] == "train/000008_bouncing_sideways.avi 8"
    assert all((tmp_path / line.split()[0]).is_file() for line in lines)


def test_hmdb51_is_listed_without_what_cannot_be_read(tmp_path: Path, prepare: Prepare) -> None:
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    source, out = make_hmdb51(tmp_path / "source"), tmp_path / "data" / "hmdb51"
    broken = min(path for path in source.rglob("*.avi") if ";0" not in path.name)
    broken.write_bytes(b"no video at all")
    printed = prepare("hmdb51", source, "--out", out, "--jobs", "2")
    assert f"{out}/hmdb51_train_split_2_videos.txt: 3 videos" in printed
    assert f"1 x cannot be read: {broken.relative_to(out.joinpath('videos').resolve())} (Error reading" in printed


def test_annotations_may_be_elsewhere_and_a_list_is_filtered(tmp_path: Path, prepare: Prepare) -> None:
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    videos = make_ucf101(tmp_path) / "UCF-101"
    words = ["ucf101", videos, "--out", tmp_path / "out", "--min-frames", "14"]
    assert "classInd.txt" in prepare(*words, status=1)
    assert "2 x too short" in prepare(*words, "--annotations", tmp_path / "ucfTrainTestlist")
    listed = tmp_path / "train.txt"
    listed.write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\nApplyEyeMakeup/gone.avi 8\n")
    assert "1 x listed but not there: ApplyEyeMakeup/gone.avi" in prepare("video_list", listed, videos)
    assert (tmp_path / "train_checked.txt").read_text() == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\n"
