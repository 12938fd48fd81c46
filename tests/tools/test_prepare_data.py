from __future__ import annotations

import importlib
import io
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import CIFAR10
from nda_mm.datasets.archives import unpack
from nda_mm.preparation.boxes_and_videos import place_voc
from nda_mm.preparation.images import place_class_folders
from tools import prepare_data as tool


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (value, value, value)).save(buffer, "png")
    return buffer.getvalue()


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def cifar_members(prefix: str) -> dict[str, bytes]:
    classes = CIFAR10.METAINFO["classes"]
    return {
        f"{prefix}{name}/{index}.png": png(10 * label + index) for label, name in enumerate(classes) for index in (0, 1)
    }


def test_zip_is_unpacked_verified_and_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_zip(tmp_path / "train.zip", cifar_members("some/wrapping/cifar10/train/"))
    out = tmp_path / "out"
    assert tool.main(["cifar10", str(source), "--out", str(out), "--allow-partial"]) == 0
    printed = capsys.readouterr().out
    assert f"{source}: 20 files in {out}" in printed
    assert "train: 20 images of 10 classes" in printed
    data = CIFAR10(str(out), allow_partial=True)
    np.testing.assert_array_equal(
        data.images[:, 0, 0, 0], [10 * label + index for label in range(10) for index in (0, 1)]
    )


def test_zip_without_a_split_level_takes_the_one_named(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "folders.zip", cifar_members(""))
    out = tmp_path / "out"
    assert tool.main(["cifar10", str(source), "--out", str(out), "--split", "test", "--allow-partial"]) == 0
    assert len(CIFAR10(str(out), split="test", allow_partial=True)) == 20


def test_incomplete_data_are_reported_with_the_ways_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = make_zip(tmp_path / "train.zip", cifar_members("train/"))
    assert tool.main(["cifar10", str(source), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "each class has 5000 images, but found are airplane 2" in error
    assert "tools/train.py nda_biggan_digits" in error


def test_class_named_like_a_split(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", {"cifar100/test/train/0.png": png(1), "cifar100/test/apple/0.png": png(2)})
    assert unpack(source, tmp_path / "out", place_class_folders).count == 2
    assert (tmp_path / "out" / "test" / "train" / "0.png").is_file()
    assert not (tmp_path / "out" / "train").exists()


def test_what_is_damaged_of_a_zip_is_named_and_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_zip(tmp_path / "train.zip", cifar_members("train/")), tmp_path / "out"
    content = bytearray(source.read_bytes())
    content[60] ^= 255
    source.write_bytes(content)
    assert tool.main(["cifar10", str(source), "--out", str(out), "--allow-partial"]) == 0
    printed = capsys.readouterr().out
    assert "1 x damaged in the archive, left out:\n  train/airplane/0.png: BadZipFile: Bad CRC-32" in printed
    assert "train: 19 images of 10 classes" in printed
    source.write_bytes(content[: len(content) // 2])
    assert tool.main(["cifar10", str(source), "--out", str(out)]) == 1
    assert "train.zip' is cut off" in capsys.readouterr().err
    assert tool.main(["cifar10", str(make_zip(tmp_path / "b.zip", {"0.png": png(1)})), "--out", str(out)]) == 1
    assert "b.zip' holds no undamaged file" in capsys.readouterr().err


def test_class_folders_are_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        with zipfile.ZipFile(make_zip(tmp_path / "a.zip", cifar_members(f"{split}/"))) as archive:
            archive.extractall(tmp_path / "unpacked")
    assert tool.main(["cifar10", str(tmp_path / "unpacked"), "--out", str(tmp_path / "out"), "--allow-partial"]) == 0
    assert "test: 20 images of 10 classes" in capsys.readouterr().out
    assert (tmp_path / "out").is_symlink()


def test_nothing_at_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(["cifar100", "--out", str(tmp_path / "out")]) == 1
    assert "CIFAR-100 (train split) cannot be read" in capsys.readouterr().err
    assert tool.main(["cifar10", str(tmp_path / "absent.zip"), "--out", str(tmp_path / "out")]) == 1
    assert "absent.zip" in capsys.readouterr().err


def test_truncated_official_archive_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "cifar-10-python.tar.gz"
    source.write_bytes(b"\x1f\x8b" + bytes(100))
    assert tool.main(["cifar10", str(source), "--out", str(tmp_path / "out")]) == 1
    assert "cifar-10-python.tar.gz' is truncated or damaged" in capsys.readouterr().err


def test_bccd_is_unpacked_looked_at_and_refused_only_for_what_the_recipes_refuse(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mmdet")
    xml = "<annotation><object><name>WBC</name><bndbox>{}</bndbox></object></annotation>"
    corners = "<xmin>{}</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
    members = {
        "bccd/JPEGImages/a.png": png(1),
        "bccd/Annotations/a.xml": xml.format(corners.format(3)).encode(),
        "bccd/JPEGImages/b.png": png(2),
        "bccd/Annotations/b.xml": xml.format(corners.format(9)).encode(),
        "bccd/ImageSets/Main/train.txt": b"a\nb\n",
    }
    out = tmp_path / "out"
    assert tool.main(["bccd", str(make_zip(tmp_path / "a.zip", members)), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"5 files in {out}" in printed
    assert "train: 2 images, boxes: RBC 0, WBC 1, Platelets 0" in printed
    assert "1 x unusable box: b.xml (WBC 9, 2, 9, 9)\n  1 x no boxes: b.xml" in printed
    (out / "JPEGImages" / "b.png").unlink()
    assert tool.main(["bccd", "--out", str(out)]) == 1  # looked at again, without a zip
    assert "1 x missing image: b.jpg" in capsys.readouterr().err
    (out / "ImageSets" / "Main" / "train.txt").rename(out / "ImageSets" / "Main" / "other.txt")
    assert tool.main(["bccd", "--out", str(out)]) == 1
    assert "holds no ImageSets/Main/train.txt" in capsys.readouterr().err


def test_members_of_a_voc_archive_are_found_under_any_wrapping() -> None:
    wanted = {
        "BCCD_Dataset-master/BCCD/Annotations/a.xml": "Annotations/a.xml",
        "BCCD/JPEGImages/a.jpg": "JPEGImages/a.jpg",
        "ImageSets/Main/train.txt": "ImageSets/Main/train.txt",
    }
    others = ("README.md", "x/JPEGImages/.hidden.jpg", "x/JPEGImages/run.sh", "Annotations.xml", "Main/train.txt")
    for name, target in wanted.items():
        assert str(place_voc(tuple(name.split("/")))) == target
    assert [place_voc(tuple(name.split("/"))) for name in others] == [None] * 5


def test_the_real_bccd_has_its_known_figures(
    needs_shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mmdet")
    assert tool.main(["bccd", str(needs_shared_data / "bccd.zip"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert f"{364 + 364 + 4} files in" in printed
    found = re.findall(r", (\w+): (\d+) images, boxes: RBC (\d+), WBC (\d+), Platelets (\d+)", printed)
    assert {name: int(count) for name, count, *_ in found} == {"train": 205, "val": 87, "test": 72, "trainval": 292}
    boxes = {name: sum(map(int, counts)) for name, _, *counts in found}
    assert boxes["train"] + boxes["val"] + boxes["test"] == 4888 - 2
    assert boxes["trainval"] == boxes["train"] + boxes["val"]


def test_scenes_are_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("mmdet")
    out = tmp_path / "scenes"
    assert tool.main(["digits_scenes", "--out", str(out)]) == 0
    assert tool.main(["digits_scenes", "--out", str(out)]) == 0
    assert tool.main(["digits_scenes", "--out", str(out), "--seed", "1"]) == 1
    streams = capsys.readouterr()
    assert streams.out.splitlines() == [f"{out}: the scenes were written", f"{out}: the scenes are there"]
    assert "holds scenes of other settings" in streams.err
    assert len(list((out / "train").iterdir())) == 120


def test_moving_digits_are_written_with_their_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["moving_digits", "--out", str(tmp_path), "--clips", "9", "8", "--size", "32"]
    assert tool.main(arguments) == 0
    assert f"{tmp_path}/train_list_videos.txt: 9 clips of 40 frames" in capsys.readouterr().out
    lines = (tmp_path / "train_list_videos.txt").read_text().splitlines()
    assert lines[8] == "train/000008_right.avi 0"
    assert all((tmp_path / line.split()[0]).is_file() for line in lines)
    assert len((tmp_path / "test_list_videos.txt").read_text().splitlines()) == 8
    assert tool.main([*arguments, "--bouncing"]) == 0
    assert (tmp_path / "train_list_videos.txt").read_text().splitlines()[8] == "train/000008_bouncing_sideways.avi 8"
    assert tool.main([*arguments, "--size", "8"]) == 1
    assert "size must be an integer of at least 16" in capsys.readouterr().err


@pytest.fixture
def tiny_sets() -> Iterator[ModuleType]:
    """UCF101 and HMDB51 of kilobytes, from the tests of the data sets."""
    pytest.importorskip("decord")
    pytest.importorskip("cv2")
    folder = str(Path(__file__).resolve().parents[1] / "datasets")
    sys.path.insert(0, folder)
    try:
        yield importlib.import_module("tiny_action_sets")
    finally:
        sys.path.remove(folder)


def test_ucf101_and_hmdb51_are_listed_without_what_cannot_be_read(
    tiny_sets: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, make in (("ucf101", tiny_sets.make_ucf101), ("hmdb51", tiny_sets.make_hmdb51)):
        source, out = make(tmp_path / verb), tmp_path / "data" / verb
        broken = min(path for path in source.rglob("*.avi") if ";0" not in path.name)
        broken.write_bytes(b"no video at all")
        assert tool.main([verb, str(source), "--out", str(out), "--workers", "2"]) == 0
        printed = capsys.readouterr().out
        assert f"{out}/{verb}_train_split_2_videos.txt: 3 videos" in printed
        assert f"1 x cannot be read: {broken.relative_to(out.joinpath('videos').resolve())} (Error reading" in printed
        assert tool.main([verb, str(source), "--out", str(out)]) == 0
        assert capsys.readouterr().out == printed


def test_annotations_elsewhere_and_none_at_all(
    tiny_sets: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tiny_sets.make_ucf101(tmp_path / "source")
    (source / "ucfTrainTestlist").rename(tmp_path / "lists")
    arguments = ["ucf101", str(source), "--out", str(tmp_path / "out"), "--min-frames", "14"]
    assert tool.main(arguments) == 1
    assert "has no classInd.txt, trainlist01.txt" in capsys.readouterr().err
    assert tool.main([*arguments, "--annotations", str(tmp_path / "lists")]) == 0
    assert "2 x too short, left out of training lists" in capsys.readouterr().out
    assert tool.main(["hmdb51", str(tmp_path / "absent")]) == 1
    assert f"error: there is no folder {tmp_path}/absent" in capsys.readouterr().err


def test_a_list_that_is_there_is_filtered(
    tiny_sets: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = tiny_sets.make_ucf101(tmp_path) / "UCF-101"
    listed = tmp_path / "kinetics400_train_list_videos.txt"
    listed.write_text("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\nApplyEyeMakeup/gone.avi 8\n")
    assert tool.main(["video_list", str(listed), str(videos)]) == 0
    checked = tmp_path / "kinetics400_train_list_videos_checked.txt"
    assert checked.read_text() == "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi 7\n"
    assert "1 x listed but not there: ApplyEyeMakeup/gone.avi" in capsys.readouterr().out
