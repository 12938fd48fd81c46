from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import tiny_detection as tiny

from nda_mm.datasets.archives import unpack
from nda_mm.datasets.boxes.bccd import check_bccd, place_voc, refuse_unusable


def make_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


MEMBERS = {
    "BCCD_Dataset-master/BCCD/Annotations/a.xml": b"<annotation/>",
    "BCCD_Dataset-master/BCCD/JPEGImages/a.jpg": b"jpeg",
    "BCCD_Dataset-master/BCCD/ImageSets/Main/train.txt": b"a\n",
    "BCCD_Dataset-master/README.md": b"text",
}


def test_the_three_folders_are_found_under_any_wrapping(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "a.zip", MEMBERS)
    assert unpack(source, tmp_path / "out", place_voc).count == 3
    written = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert written == {
        "Annotations/a.xml": b"<annotation/>",
        "JPEGImages/a.jpg": b"jpeg",
        "ImageSets/Main/train.txt": b"a\n",
    }


def test_other_members_are_passed_over(tmp_path: Path) -> None:
    others = {"x/JPEGImages/.hidden.jpg": b"5", "x/JPEGImages/run.sh": b"6", "Annotations.xml": b"7"}
    source = make_zip(tmp_path / "a.zip", {**MEMBERS, **others, "/JPEGImages/abs.jpg": b"2"})
    assert unpack(source, tmp_path / "out", place_voc).count == 4
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"a.xml", "a.jpg", "train.txt", "abs.jpg"}


def test_each_set_is_counted_and_its_faults_named(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("RBC", tiny.GOOD), ("WBC", tiny.GOOD), ("RBC", (5, 6, 5, 9))])
    tiny.write_voc(tmp_path, "b", [])
    tiny.list_images(tmp_path, ["a", "b"], "train")
    tiny.list_images(tmp_path, ["b"], "test")
    train, test = check_bccd(tmp_path)
    assert str(train).splitlines() == [
        "train: 2 images, boxes: RBC 1, WBC 1, Platelets 0",
        "  1 x no width or height: a.xml (RBC 5, 6, 5, 9)",
        "  1 x no boxes: b.xml",
    ]
    assert str(test).splitlines()[0] == "test: 1 images, boxes: RBC 0, WBC 0, Platelets 0"
    refuse_unusable([train, test])  # faulty boxes are left out by the recipes themselves
    tiny.write_voc(tmp_path, "c", [("Platelet", tiny.GOOD)])
    tiny.list_images(tmp_path, ["c"], "val")
    tiny.list_images(tmp_path, ["d"], "test")
    with pytest.raises(ValueError, match="the recipes refuse val, test as it is"):
        refuse_unusable(check_bccd(tmp_path))
    with pytest.raises(FileNotFoundError, match="holds no ImageSets/Main/train.txt"):
        check_bccd(tmp_path / "absent")


def test_the_real_set_has_the_figures_that_are_known_of_it(needs_shared_data: Path, tmp_path: Path) -> None:
    assert unpack(needs_shared_data / "bccd.zip", tmp_path, place_voc).count == 364 + 364 + 4
    checks = {check.name: check for check in check_bccd(tmp_path)}
    assert {name: check.images for name, check in checks.items()} == {
        "train": 205,
        "val": 87,
        "test": 72,
        "trainval": 292,
    }
    good = sum(sum(checks[name].boxes.values()) for name in ("train", "val", "test"))
    assert good == 4888 - 2
    assert checks["trainval"].report.count() == checks["trainval"].report.count("no width or height") == 2
    assert all(check.is_usable() for check in checks.values())
