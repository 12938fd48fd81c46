"""UCF101's official lists."""

from __future__ import annotations

import pytest
from tiny_action_sets import UCF_CLASSES, make_ucf101

from nda_mm.datasets.videos.official_splits import read_ucf101_splits

pytest.importorskip("cv2")


@pytest.fixture
def folder(tmp_path):
    return make_ucf101(tmp_path / "UCF101", {"ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01": 3, "Class101/v_x_g02_c01": 3})


def test_three_splits_and_the_order_of_the_classes(folder):
    splits = read_ucf101_splits(folder)
    assert splits.name == "ucf101" and splits.classes == tuple(UCF_CLASSES)
    first, second = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01", "Class101/v_x_g02_c01"
    assert splits.lists == {
        "train_split_1": [second],
        "val_split_1": [first],
        "train_split_2": [first],
        "val_split_2": [second],
        "train_split_3": [first, second],
        "val_split_3": [],
    }


def test_missing_files_are_named(folder):
    (folder / "ucfTrainTestlist" / "testlist03.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"ucfTrainTestlist has no testlist03.txt; unpack UCF101TrainTest.*\.zip"
    ):
        read_ucf101_splits(folder)
    with pytest.raises(FileNotFoundError, match=r"UCF-101 has no classInd.txt, trainlist01.txt, .*--annotations"):
        read_ucf101_splits(folder / "UCF-101")


@pytest.mark.parametrize("content", ["", "1 A\n2 B\n", "\n".join(f"{i} c{i}" for i in range(101))])
def test_classes_that_are_not_ucf101s(folder, content):
    (folder / "ucfTrainTestlist" / "classInd.txt").write_text(content)
    with pytest.raises(ValueError, match=r"classInd.txt must number 101 classes from 1 on"):
        read_ucf101_splits(folder)


@pytest.mark.parametrize("line", ["Juggling/v_a.avi 3", "v_a.avi", "ApplyEyeMakeup/"])
def test_a_line_that_makes_no_sense(folder, line):
    with open(folder / "ucfTrainTestlist" / "trainlist03.txt", "a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(ValueError, match=r"trainlist03.txt, line 4: expected CLASS/FILE of a class in classInd.txt"):
        read_ucf101_splits(folder)
