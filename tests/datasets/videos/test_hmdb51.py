"""HMDB51's official lists."""

from __future__ import annotations

import pytest
from tiny_action_sets import HMDB_CLASSES, make_hmdb51

from nda_mm.datasets.videos.hmdb51 import read_hmdb51_splits

pytest.importorskip("cv2")


@pytest.fixture
def folder(tmp_path):
    return make_hmdb51(tmp_path / "HMDB51")


def test_one_is_training_two_is_testing_and_nought_is_neither(folder):
    splits = read_hmdb51_splits(folder)
    assert splits.name == "hmdb51" and splits.classes == tuple(sorted(HMDB_CLASSES))

    def keys(*numbers):
        return [f"{name}/#{name};{number}" for name in ("brush_hair", "wave") for number in numbers]

    assert splits.lists == {
        "train_split_1": keys(2, 3),
        "val_split_1": keys(1),
        "train_split_2": keys(1, 3),
        "val_split_2": keys(2),
        "train_split_3": keys(1, 2),
        "val_split_3": keys(3),
    }
    assert set(keys(0)) <= splits.unused and not splits.unused & set(keys(1, 2, 3))


def test_missing_files_are_named(folder):
    lists = folder / "testTrainMulti_7030_splits"
    (lists / "wave_test_split2.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"HMDB51 has no wave_test_split2.txt; 51 classes with three files"):
        read_hmdb51_splits(folder)
    for split in "13":
        (lists / f"wave_test_split{split}.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"has CLASS_test_split1.txt of 50 classes; .*--annotations"):
        read_hmdb51_splits(folder)


@pytest.mark.parametrize("line", ["a.avi", "a.avi 3", "1"])
def test_a_line_that_makes_no_sense(folder, line):
    (folder / "testTrainMulti_7030_splits" / "wave_test_split1.txt").write_text(f"a.avi 1 \n{line}\n")
    with pytest.raises(ValueError, match=r"wave_test_split1.txt, line 2: expected FILE.avi and 0, 1 or 2, but got"):
        read_hmdb51_splits(folder)
