"""The official lists of UCF101 and HMDB51."""

from __future__ import annotations

import pytest
from tiny_action_sets import HMDB_CLASSES, UCF_CLASSES, make_hmdb51, make_ucf101

from nda_mm.datasets.videos.official_splits import read_hmdb51_splits, read_ucf101_splits

pytest.importorskip("cv2")


@pytest.fixture
def folder(tmp_path):
    return make_ucf101(tmp_path / "UCF101", {"ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01": 3, "Class101/v_x_g02_c01": 3})


def test_three_splits_and_the_order_of_the_classes(folder):
    splits = read_ucf101_splits(folder)
    assert splits.name == "ucf101" and splits.classes == tuple(UCF_CLASSES)
    first, second = "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01", "Class101/v_x_g02_c01"
    for split, (train, val) in {1: ([second], [first]), 2: ([first], [second]), 3: ([first, second], [])}.items():
        assert splits.lists[f"train_split_{split}"] == train
        assert splits.lists[f"val_split_{split}"] == val


def test_missing_and_damaged_lists_are_named(folder):
    with open(folder / "ucfTrainTestlist" / "trainlist03.txt", "a") as file:
        file.write("\nJuggling/v_a.avi 3\n")
    with pytest.raises(ValueError, match="trainlist03.txt, line 4"):
        read_ucf101_splits(folder)
    (folder / "ucfTrainTestlist" / "classInd.txt").write_text("1 A\n2 B\n")
    with pytest.raises(ValueError, match="classInd.txt"):
        read_ucf101_splits(folder)
    (folder / "ucfTrainTestlist" / "testlist03.txt").unlink()
    with pytest.raises(FileNotFoundError, match="testlist03.txt"):
        read_ucf101_splits(folder)


@pytest.fixture
def hmdb51(tmp_path):
    return make_hmdb51(tmp_path / "HMDB51")


def test_one_is_training_two_is_testing_and_nought_is_neither(hmdb51):
    splits = read_hmdb51_splits(hmdb51)
    assert splits.name == "hmdb51" and splits.classes == tuple(sorted(HMDB_CLASSES))

    def keys(*numbers):
        return [f"{name}/#{name};{number}" for name in ("brush_hair", "wave") for number in numbers]

    for split, others in {1: (2, 3), 2: (1, 3), 3: (1, 2)}.items():
        assert splits.lists[f"train_split_{split}"] == keys(*others)
        assert splits.lists[f"val_split_{split}"] == keys(split)


def test_damaged_and_missing_lists_of_hmdb51_are_named(hmdb51):
    path = hmdb51 / "testTrainMulti_7030_splits" / "wave_test_split1.txt"
    path.write_text("a.avi 1 \na.avi 3\n")
    with pytest.raises(ValueError, match="wave_test_split1.txt, line 2"):
        read_hmdb51_splits(hmdb51)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="wave_test_split1.txt"):
        read_hmdb51_splits(hmdb51)
