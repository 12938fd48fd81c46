from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_detection as tiny

pytest.importorskip("mmdet")

from mmdet.datasets import VOCDataset

from nda_mm.datasets.boxes.voc import CheckedVOCDataset

CLASSES = {"classes": ("cat", "dog")}


def read(root: Path, ann_file: str, **kwargs: Any) -> CheckedVOCDataset:
    return CheckedVOCDataset(
        data_root=str(root), ann_file=ann_file, data_prefix={"sub_data_root": ""}, metainfo=CLASSES, **kwargs
    )


def test_faulty_boxes_are_dropped_and_counted_in_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    data = read(tmp_path, tiny.plant_voc(tmp_path))
    assert len(data) == 6
    boxes = [[(item["bbox"], item["bbox_label"]) for item in data.get_data_info(i)["instances"]] for i in range(6)]
    assert boxes == [*[[([4, 5, 24, 29], 1)]] * 5, []]
    assert len(warnings) == 1
    assert f"{len(tiny.FAULTY)} x unusable box: 0.xml (cat here, 6, 25, 30)" in warnings[0]


def test_a_sound_set_is_read_as_mmdet_reads_it(needs_shared_data: Path, tmp_path: Path, warnings: list[str]) -> None:
    from nda_mm.datasets.archives import unpack
    from nda_mm.preparation.boxes_and_videos import BCCD_CLASSES, place_voc

    unpack(needs_shared_data / "bccd.zip", tmp_path, place_voc)
    settings: dict[str, Any] = {
        "data_root": str(tmp_path),
        "ann_file": "ImageSets/Main/train.txt",
        "data_prefix": {"sub_data_root": ""},
        "metainfo": {"classes": BCCD_CLASSES},
        "filter_cfg": {"bbox_min_size": 40},
    }
    ours, theirs = CheckedVOCDataset(**settings), VOCDataset(**settings)
    assert len(ours) == len(theirs)
    dropped = 0
    for index in range(len(ours)):
        own, other = ours.get_data_info(index), theirs.get_data_info(index)
        sound = [item for item in other["instances"] if item["bbox"][0] < item["bbox"][2]]
        dropped += len(other["instances"]) - len(sound)
        assert {**other, "instances": sound} == own
    assert dropped == len(warnings) == 1


class TestFilesThatCannotBeUsed:
    @pytest.fixture
    def ann_file(self, tmp_path: Path) -> str:
        for name in "abcdef":
            tiny.write_voc(tmp_path, name, [("cat", tiny.GOOD)])
        (tmp_path / "JPEGImages" / "b.jpg").unlink()
        (tmp_path / "JPEGImages" / "c.jpg").write_bytes(b"")
        (tmp_path / "Annotations" / "d.xml").unlink()
        (tmp_path / "Annotations" / "e.xml").write_text("")
        tiny.write_voc(tmp_path, "f", [("cat", tiny.GOOD)], size=(400, 32))
        return tiny.list_images(tmp_path, "abcdef")

    def test_are_refused_at_the_start_with_their_names(self, tmp_path: Path, ann_file: str) -> None:
        with pytest.raises(ValueError, match="bad_files='skip'") as caught:
            read(tmp_path, ann_file)
        for file in ("b.jpg", "c.jpg", "f.jpg", "d.xml", "e.xml"):
            assert file in str(caught.value)

    def test_are_left_out_on_request(self, tmp_path: Path, ann_file: str) -> None:
        data = read(tmp_path, ann_file, bad_files="skip")
        assert [data.get_data_info(i)["img_id"] for i in range(len(data))] == ["a"]


def test_an_unknown_class_is_refused_or_skipped(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD), ("mouse", tiny.GOOD)])
    ann_file = tiny.list_images(tmp_path, "a")
    with pytest.raises(ValueError, match="unknown_classes"):
        read(tmp_path, ann_file)
    data = read(tmp_path, ann_file, unknown_classes="skip")
    assert [item["bbox_label"] for item in data.get_data_info(0)["instances"]] == [0]


def test_difficult_objects_are_ignored_unless_they_are_to_be_used(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD)], difficult=1)
    ann_file = tiny.list_images(tmp_path, "a")
    assert read(tmp_path, ann_file).get_data_info(0)["instances"][0]["ignore_flag"] == 1
    assert read(tmp_path, ann_file, use_difficult=True).get_data_info(0)["instances"][0]["ignore_flag"] == 0
