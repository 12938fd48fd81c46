"""Detection and video sets in tools/prepare_data.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_action_sets import make_hmdb51, make_ucf101
from tiny_archives import make_zip, noise

from tools import prepare_data as tool


def test_bccd_is_unpacked_and_checked_as_the_recipes_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert tool.main(["bccd", str(make_zip(tmp_path / "a.zip", members)), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"5 files in {out}" in printed
    assert "train: 2 images, boxes: RBC 0, WBC 1, Platelets 0" in printed
    assert "1 x unusable box: b.xml (WBC 9, 2, 9, 9)" in printed
    (out / "JPEGImages" / "b.png").unlink()
    assert tool.main(["bccd", "--out", str(out)]) == 1  # checked again, without a zip
    assert "1 x missing image: b.jpg" in capsys.readouterr().err
    assert tool.main(["bccd", "--out", str(tmp_path / "nothing")]) == 1
    assert "train.txt" in capsys.readouterr().err


def test_digits_scenes_and_clips_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mmdet")
    scenes = ["digits_scenes", "--out", str(tmp_path / "scenes")]
    assert [tool.main(scenes), tool.main(scenes), tool.main([*scenes, "--seed", "1"])] == [0, 0, 1]
    assert "scenes of other settings" in capsys.readouterr().err
    assert len(list((tmp_path / "scenes" / "train").iterdir())) == 120

    clips = ["moving_digits", "--out", str(tmp_path), "--clips", "9", "8", "--size", "32", "--bouncing"]
    assert tool.main(clips) == 0
    assert f"{tmp_path}/train_list_videos.txt: 9 clips of 40 frames" in capsys.readouterr().out
    lines = (tmp_path / "train_list_videos.txt").read_text().splitlines()
    assert lines[8] == "train/000008_bouncing_sideways.avi 8"
    assert all((tmp_path / line.split()[0]).is_file() for line in lines)
    assert len((tmp_path / "test_list_videos.txt").read_text().splitlines()) == 8


def test_ucf101_and_hmdb51_are_listed_without_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    for verb, make in (("ucf101", make_ucf101), ("hmdb51", make_hmdb51)):
        source, out = make(tmp_path / verb), tmp_path / "data" / verb
        broken = min(path for path in source.rglob("*.avi") if ";0" not in path.name)
        broken.write_bytes(b"no video at all")
        assert tool.main([verb, str(source), "--out", str(out), "--jobs", "2"]) == 0
        printed = capsys.readouterr().out
        assert f"{out}/{verb}_train_split_2_videos.txt: 3 videos" in printed
        assert f"1 x cannot be read: {broken.relative_to(out.joinpath('videos').resolve())} (Error reading" in printed


def test_a_video_list_is_filtered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    videos = make_ucf101(tmp_path) / "UCF-101"
    listed = tmp_path / "kinetics400_train_list_videos.txt"
    listed.write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\nApplyEyeMakeup/gone.avi 8\n")
    assert tool.main(["video_list", str(listed), str(videos)]) == 0
    checked = tmp_path / "kinetics400_train_list_videos_checked.txt"
    assert checked.read_text() == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\n"
    assert "1 x listed but not there: ApplyEyeMakeup/gone.avi" in capsys.readouterr().out


def test_annotations_may_be_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    videos = make_ucf101(tmp_path) / "UCF-101"
    arguments = ["ucf101", str(videos), "--out", str(tmp_path / "out"), "--min-frames", "14"]
    assert tool.main(arguments) == 1
    assert "classInd.txt" in capsys.readouterr().err
    assert tool.main([*arguments, "--annotations", str(tmp_path / "ucfTrainTestlist")]) == 0
    assert "2 x too short" in capsys.readouterr().out
