"""Detection sets with faults of every kind, in COCO's format and in PASCAL VOC's layout."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny_detection as tiny

pytest.importorskip("mmdet")

from mmdet.datasets import CocoDataset, VOCDataset

from nda_mm.datasets.checked_boxes import CheckedCocoDataset, CheckedVOCDataset, is_good_box


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the checks of boxes warn of."""
    logged: list[str] = []
    monkeypatch.setattr("nda_mm.datasets.checked_boxes.print_log", lambda text, *_: logged.append(text))
    return logged


@pytest.mark.parametrize(
    ("box", "good"),
    [
        ((0, 0, 10, 8), True),
        ((-3, -3, 1, 1), True),  # a part of it is inside
        ((9, 7, 10, 8), True),  # one pixel, the last
        (None, False),
        (("here", 2, 3, 4), False),
        ((math.nan, 0, 5, 5), False),
        ((0, 0, math.inf, 5), False),
        ((3, 3, 5, 3), False),
        ((3, 3, 3.5, 5), False),
        ((-5, 0, 0, 5), False),
        ((0, -5, 5, 0), False),
        ((10, 0, 12, 5), False),
        ((0, 8, 5, 9), False),
    ],
)
def test_good_boxes(box: tuple | None, good: bool) -> None:
    assert is_good_box(box, 10, 8) is good


def read_coco(
    root: Path, ann_file: str = "boxes.json", classes: tuple[str, ...] = ("cat", "dog"), **kwargs: Any
) -> Any:
    return CheckedCocoDataset(
        data_root=str(root), ann_file=ann_file, data_prefix={"img": ""}, metainfo={"classes": classes}, **kwargs
    )


def test_a_sound_set_is_read_as_mmdet_reads_it(tmp_path: Path, warnings: list[str]) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(5))
    settings: dict[str, Any] = {
        "data_root": str(tmp_path),
        "ann_file": "boxes.json",
        "data_prefix": {"img": ""},
        "metainfo": {"classes": ("cat", "dog")},
        "filter_cfg": {"filter_empty_gt": True},
    }
    ours, theirs = CheckedCocoDataset(**settings), CocoDataset(**settings)
    assert [ours.get_data_info(i) for i in range(5)] == [theirs.get_data_info(i) for i in range(5)]
    assert not warnings


def test_faulty_boxes_are_dropped_and_counted_in_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    faulty = ([1, 2, 3], [float("nan"), 2, 3, 4], [20, 6, -10, 5], "box")
    content = tiny.coco_content(2)
    for number, box in enumerate(faulty):
        content["annotations"].append({"id": 10 + number, "image_id": 0, "category_id": 7, "bbox": box, "area": 9})
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 7})  # without a box at all
    tiny.write_coco(tmp_path, content)
    data = read_coco(tmp_path)
    assert [len(data.get_data_info(i)["instances"]) for i in range(2)] == [1, 1]
    assert len(warnings) == 1
    assert "5 x unusable box: 0.png (annotation 10, [1, 2, 3])" in warnings[0]


def test_a_box_without_an_area_is_kept_where_mmdet_fails(tmp_path: Path) -> None:
    content = tiny.coco_content(2)
    del content["annotations"][0]["area"]
    content["annotations"][1]["area"] = 0
    tiny.write_coco(tmp_path, content)
    assert [len(read_coco(tmp_path).get_data_info(i)["instances"]) for i in range(2)] == [1, 1]


def test_missing_unreadable_and_wrongly_sized_images(tmp_path: Path) -> None:
    content = tiny.coco_content(4)
    content["images"][3]["width"] = 41
    content["annotations"].append({"id": 50, "image_id": 77, "category_id": 7, "bbox": [1, 1, 5, 5], "area": 25})
    tiny.write_coco(tmp_path, content)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="bad_files='skip'") as caught:
        read_coco(tmp_path)
    for file in ("1.png", "annotation 50", "2.png", "3.png"):
        assert file in str(caught.value)
    assert len(read_coco(tmp_path, bad_files="skip")) == 1


def test_an_unknown_category_is_refused_or_skipped(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(2))
    with pytest.raises(ValueError, match="unknown_classes"):
        read_coco(tmp_path, classes=("cat",))
    data = read_coco(tmp_path, classes=("cat",), unknown_classes="skip")
    assert [len(data.get_data_info(i)["instances"]) for i in range(2)] == [1, 0]


def test_classes_in_another_order_than_the_files_would_be_named_wrongly(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(2))
    with pytest.raises(ValueError, match="classes"):
        read_coco(tmp_path, classes=("dog", "cat"))


def test_a_file_that_is_no_annotation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"boxes\.json"):
        read_coco(tmp_path)
    twice = tiny.coco_content(2)
    twice["annotations"][1]["id"] = 1
    path.write_text(json.dumps(twice))
    with pytest.raises(ValueError, match="annotations"):
        read_coco(tmp_path)


CLASSES = {"classes": ("cat", "dog")}


def read_voc(root: Path, ann_file: str, **kwargs: Any) -> CheckedVOCDataset:
    return CheckedVOCDataset(
        data_root=str(root), ann_file=ann_file, data_prefix={"sub_data_root": ""}, metainfo=CLASSES, **kwargs
    )


def test_faulty_voc_boxes_are_dropped_and_counted_in_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    data = read_voc(tmp_path, tiny.plant_voc(tmp_path))
    assert len(data) == 6
    boxes = [[(item["bbox"], item["bbox_label"]) for item in data.get_data_info(i)["instances"]] for i in range(6)]
    assert boxes == [*[[([4, 5, 24, 29], 1)]] * 5, []]
    assert len(warnings) == 1
    assert f"{len(tiny.FAULTY)} x unusable box: 0.xml (cat here, 6, 25, 30)" in warnings[0]


def test_a_sound_voc_set_is_read_as_mmdet_reads_it(
    needs_shared_data: Path, tmp_path: Path, warnings: list[str]
) -> None:
    from nda_mm.datasets.archives import unpack
    from nda_mm.preparation.commands import BCCD_CLASSES, place_voc

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
            read_voc(tmp_path, ann_file)
        for file in ("b.jpg", "c.jpg", "f.jpg", "d.xml", "e.xml"):
            assert file in str(caught.value)

    def test_are_left_out_on_request(self, tmp_path: Path, ann_file: str) -> None:
        data = read_voc(tmp_path, ann_file, bad_files="skip")
        assert [data.get_data_info(i)["img_id"] for i in range(len(data))] == ["a"]


def test_an_unknown_class_is_refused_or_skipped(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD), ("mouse", tiny.GOOD)])
    ann_file = tiny.list_images(tmp_path, "a")
    with pytest.raises(ValueError, match="unknown_classes"):
        read_voc(tmp_path, ann_file)
    data = read_voc(tmp_path, ann_file, unknown_classes="skip")
    assert [item["bbox_label"] for item in data.get_data_info(0)["instances"]] == [0]


def test_difficult_objects_are_ignored_unless_they_are_to_be_used(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD)], difficult=1)
    ann_file = tiny.list_images(tmp_path, "a")
    assert read_voc(tmp_path, ann_file).get_data_info(0)["instances"][0]["ignore_flag"] == 1
    assert read_voc(tmp_path, ann_file, use_difficult=True).get_data_info(0)["instances"][0]["ignore_flag"] == 0
