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


def coco(root: Path, classes: tuple[str, ...] = ("cat", "dog"), **kwargs: Any) -> dict[str, Any]:
    paths = dict(data_root=str(root), ann_file="boxes.json", data_prefix=dict(img=""))
    return {**paths, "metainfo": dict(classes=classes), **kwargs}


def voc(root: Path, ann_file: str, classes: tuple[str, ...] = ("cat", "dog"), **kwargs: Any) -> dict[str, Any]:
    return coco(root, classes, ann_file=ann_file, data_prefix=dict(sub_data_root=""), **kwargs)


def labels(data: Any) -> list[list[int]]:
    return [[item["bbox_label"] for item in data.get_data_info(index)["instances"]] for index in range(len(data))]


def test_good_boxes() -> None:
    part, last = (-3, -3, 1, 1), (9, 7, 10, 8)
    assert all(is_good_box(box, 10, 8) for box in ((0, 0, 10, 8), part, last))
    no_numbers = (None, ("here", 2, 3, 4), (math.nan, 0, 5, 5), (0, 0, math.inf, 5))
    too_small = ((3, 3, 5, 3), (3, 3, 3.5, 5))
    outside = ((-5, 0, 0, 5), (0, -5, 5, 0), (10, 0, 12, 5), (0, 8, 5, 9))
    assert not any(is_good_box(box, 10, 8) for box in (*no_numbers, *too_small, *outside))


def test_sound_sets_are_read_as_mmdet_reads_them(tmp_path: Path, warnings: list[str]) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(3))
    for name, corners in (("a", tiny.GOOD), ("b", (40, 1, 44, 32)), ("c", (7.6, 8, 9, 30))):
        tiny.write_voc(tmp_path, name, [("cat", tiny.GOOD), ("dog", corners)])
    listed = tiny.list_images(tmp_path, "abc")
    for kind, host, settings in (
        (CheckedCocoDataset, CocoDataset, coco(tmp_path, filter_cfg=dict(filter_empty_gt=True))),
        (CheckedVOCDataset, VOCDataset, voc(tmp_path, listed, filter_cfg=dict(bbox_min_size=4))),
    ):
        ours, theirs = kind(**settings), host(**settings)
        assert [ours.get_data_info(i) for i in range(len(ours))] == [theirs.get_data_info(i) for i in range(3)]
    assert not warnings


def test_faulty_boxes_of_coco_are_dropped_and_counted_in_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    faulty = ([1, 2, 3], [float("nan"), 2, 3, 4], [20, 6, -10, 5], "box", ["1", "1", "9", "9"], None)
    content = tiny.coco_content(2)
    for number, box in enumerate(faulty):
        content["annotations"].append({"id": 10 + number, "image_id": 0, "category_id": 7, "bbox": box})
    # Without an area, mmdet fails, or drops a box that is sound.
    del content["annotations"][0]["area"]
    content["annotations"][1]["area"] = 0
    tiny.write_coco(tmp_path, content)
    assert labels(CheckedCocoDataset(**coco(tmp_path))) == [[0], [1]]
    assert len(warnings) == 1
    assert "6 x unusable box: 0.png (annotation 10, [1, 2, 3])" in warnings[0]


def test_faulty_boxes_of_voc_are_dropped_and_counted_in_one_warning(tmp_path: Path, warnings: list[str]) -> None:
    data = CheckedVOCDataset(**voc(tmp_path, tiny.plant_voc(tmp_path)))
    assert labels(data) == [*[[1]] * 5, []]
    assert data.get_data_info(0)["instances"][0]["bbox"] == [4, 5, 24, 29]
    assert len(warnings) == 1
    assert f"{len(tiny.FAULTY)} x unusable box: 0.xml (cat here, 6, 25, 30)" in warnings[0]


def test_files_of_coco_that_cannot_be_used_are_refused_or_left_out(tmp_path: Path) -> None:
    content = tiny.coco_content(4)
    content["images"][3]["width"] = 41
    content["annotations"].append({"id": 50, "image_id": 77, "category_id": 7, "bbox": [1, 1, 5, 5], "area": 25})
    tiny.write_coco(tmp_path, content)
    (tmp_path / "1.png").unlink()
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="bad_files='skip'") as caught:
        CheckedCocoDataset(**coco(tmp_path))
    assert all(file in str(caught.value) for file in ("1.png", "annotation 50", "2.png", "3.png"))
    assert labels(CheckedCocoDataset(**coco(tmp_path, bad_files="skip"))) == [[0]]


def test_files_of_voc_that_cannot_be_used_are_refused_or_left_out(tmp_path: Path) -> None:
    for name in "abcdef":
        tiny.write_voc(tmp_path, name, [("cat", tiny.GOOD)], size=(400, 32) if name == "f" else (40, 32))
    (tmp_path / "JPEGImages" / "b.jpg").unlink()
    (tmp_path / "JPEGImages" / "c.jpg").write_bytes(b"")
    (tmp_path / "Annotations" / "d.xml").unlink()
    (tmp_path / "Annotations" / "e.xml").write_text("")
    settings = voc(tmp_path, tiny.list_images(tmp_path, "abcdef"))
    with pytest.raises(ValueError, match="bad_files='skip'") as caught:
        CheckedVOCDataset(**settings)
    assert all(file in str(caught.value) for file in ("b.jpg", "c.jpg", "f.jpg", "d.xml", "e.xml"))
    data = CheckedVOCDataset(**settings, bad_files="skip")
    assert [data.get_data_info(i)["img_id"] for i in range(len(data))] == ["a"]


def test_unknown_classes_are_refused_or_skipped(tmp_path: Path) -> None:
    tiny.write_coco(tmp_path, tiny.coco_content(2))
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD), ("dog", tiny.GOOD)])
    listed = tiny.list_images(tmp_path, "a")
    for kind, settings, kept in (
        (CheckedCocoDataset, coco(tmp_path, ("cat",)), [[0], []]),
        (CheckedVOCDataset, voc(tmp_path, listed, ("cat",)), [[0]]),
    ):
        with pytest.raises(ValueError, match="unknown_classes"):
            kind(**settings)
        assert labels(kind(**settings, unknown_classes="skip")) == kept


def test_a_coco_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / tiny.write_coco(tmp_path, tiny.coco_content(2))
    # Labels would be named wrongly.
    with pytest.raises(ValueError, match="classes"):
        CheckedCocoDataset(**coco(tmp_path, ("dog", "cat")))
    twice = tiny.coco_content(2)
    twice["annotations"][1]["id"] = 1
    for content, named in ((twice, "annotations"), ([], r"boxes\.json")):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=named):
            CheckedCocoDataset(**coco(tmp_path))


def test_difficult_objects_are_ignored_unless_they_are_to_be_used(tmp_path: Path) -> None:
    tiny.write_voc(tmp_path, "a", [("cat", tiny.GOOD)], difficult=1)
    settings = voc(tmp_path, tiny.list_images(tmp_path, "a"))
    for use in (False, True):
        data = CheckedVOCDataset(**settings, use_difficult=use)
        assert data.get_data_info(0)["instances"][0]["ignore_flag"] == (not use)
