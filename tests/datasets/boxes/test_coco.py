from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_detection as tiny

pytest.importorskip("mmdet")

from mmdet.datasets import CocoDataset

from nda_mm.datasets.boxes.coco import CheckedCocoDataset


def read(root: Path, ann_file: str = "boxes.json", classes: tuple[str, ...] = ("cat", "dog"), **kwargs: Any) -> Any:
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
    data = read(tmp_path)
    assert [len(data.get_data_info(i)["instances"]) for i in range(2)] == [1, 1]
    assert len(warnings) == 1
    assert "5 x unusable box: 0.png (annotation 10, [1, 2, 3])" in warnings[0]


def test_a_box_without_an_area_is_kept_where_mmdet_fails(tmp_path: Path) -> None:
    content = tiny.coco_content(2)
    del content["annotations"][0]["area"]
    content["annotations"][1]["area"] = 0
    tiny.write_coco(tmp_path, content)
    assert [len(read(tmp_path).get_data_info(i)["instances"]) for i in range(2)] == [1, 1]


def test_missing_unreadable_and_wrongly_sized_images(tmp_path: Path) -> None:
    content = tiny.coco_content(4)
    content["images"][3]["width"] = 41
    content["annotations"].append({"id": 50, "image_id": 77, "category_id": 7, "bbox": [1, 1, 5, 5], "area": 25})
    tiny.write_coco(tmp_path, content)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="bad_files='skip'") as caught:
        read(tmp_path)
    for file in ("1.png", "annotation 50", "2.png", "3.png"):
        assert file in str(caught.value)
    assert len(read(tmp_path, bad_files="skip")) == 1


def test_an_unknown_category_is_refused_or_skipped(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(2))
    with pytest.raises(ValueError, match="unknown_classes"):
        read(tmp_path, classes=("cat",))
    data = read(tmp_path, classes=("cat",), unknown_classes="skip")
    assert [len(data.get_data_info(i)["instances"]) for i in range(2)] == [1, 0]


def test_classes_in_another_order_than_the_files_would_be_named_wrongly(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(2))
    with pytest.raises(ValueError, match="classes"):
        read(tmp_path, classes=("dog", "cat"))


def test_a_file_that_is_no_annotation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "boxes.json"
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"boxes\.json"):
        read(tmp_path)
    twice = tiny.coco_content(2)
    twice["annotations"][1]["id"] = 1
    path.write_text(json.dumps(twice))
    with pytest.raises(ValueError, match="annotations"):
        read(tmp_path)
