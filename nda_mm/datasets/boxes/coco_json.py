"""A detection set in COCO's format, read with every file and box looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .checks import NO_BOXES, UNKNOWN_CLASS, FaultReport, box_fault, image_size, to_numbers


def read_coco(
    ann_file: str | Path, images: str | Path, classes: Sequence[str], report: FaultReport, *, decode: bool = False
) -> dict[str, Any]:
    """Read an annotation file and leave out whatever is faulty, noting it.

    Args:
        ann_file: The JSON file.
        images: Folder that its file names are relative to.
        classes: Names of the classes. Categories of the file that are not among them are noted where an annotation
            uses them.
        report: Gets what is wrong.
        decode: Whether every image is decoded, not only its head.

    Returns:
        The file's content with the images that can be used and their good annotations.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no annotation file of boxes, gives ids twice, lacks a class, or has them in another
            order (mmdet numbers labels in the file's order and names them in that of ``classes``).
    """
    content = _load(Path(ann_file))
    _check_categories(content["categories"], classes, ann_file)
    known = {category["id"]: category["name"] for category in content["categories"] if category["name"] in set(classes)}
    names = {category["id"]: category["name"] for category in content["categories"]}
    kept = {image["id"]: image for image in content["images"] if _is_good(image, Path(images), report, decode)}
    listed = {image["id"]: image for image in content["images"]}
    annotations = []
    with_boxes = set()
    for annotation in content["annotations"]:
        image_id = annotation.get("image_id")
        if image_id not in listed:
            report.add("missing image", Path(ann_file).name, f"annotation {annotation.get('id')} is of no listed image")
        if image_id not in kept:
            continue
        file = str(kept[image_id]["file_name"])
        category = annotation.get("category_id")
        if category not in known:
            report.add(UNKNOWN_CLASS, file, repr(names.get(category, category)))
            continue
        box = to_numbers(annotation.get("bbox") or ())
        fault = _fault(box, kept[image_id])
        if box is None or fault is not None:
            report.add(str(fault), file, f"annotation {annotation.get('id')}, {annotation.get('bbox')}")
            continue
        with_boxes.add(image_id)
        area = to_numbers([annotation.get("area")]) or (0.0,)
        # mmdet drops a box whose area is missing or zero without a word; the area serves COCO's size classes alone
        annotations.append({**annotation, "bbox": list(box), "area": area[0] if area[0] > 0 else box[2] * box[3]})
    for image_id, image in kept.items():
        if image_id not in with_boxes:
            report.add(NO_BOXES, str(image["file_name"]))
    return {**content, "images": list(kept.values()), "annotations": annotations}


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"'{path}' is no JSON file, or is cut off: {error}") from error
    missing = [key for key in ("images", "annotations", "categories") if not isinstance(content.get(key), list)]
    if missing:
        raise ValueError(f"'{path}' is no annotation file of boxes in COCO's format: it has no list {missing[0]!r}")
    for key in ("images", "annotations", "categories"):
        counts = Counter(item.get("id") for item in content[key])
        repeated = [number for number, count in counts.items() if count > 1 or number is None]
        if repeated:
            raise ValueError(f"'{path}': {key} share the ids {repeated[:5]}, or have none")
    return content


def _check_categories(categories: Sequence[dict[str, Any]], classes: Sequence[str], path: str | Path) -> None:
    names = [category["name"] for category in categories]
    absent = [name for name in classes if name not in names]
    if absent:
        raise ValueError(f"'{path}' has no category {', '.join(map(repr, absent))}; it has {', '.join(names)}")
    order = [name for name in names if name in set(classes)]
    if order != list(classes):
        raise ValueError(
            f"'{path}' numbers the classes {', '.join(order)}, but classes is {', '.join(classes)}; labels would be "
            "named wrongly. Write metainfo=dict(classes=...) in the file's order."
        )


def _is_good(image: dict[str, Any], folder: Path, report: FaultReport, decode: bool) -> bool:
    name = str(image.get("file_name"))
    try:
        size = image_size(folder / name, decode=decode)
    except FileNotFoundError:
        report.add("missing image", name)
        return False
    except OSError as error:
        report.add("unreadable image", name, str(error))
        return False
    said = image.get("width"), image.get("height")
    if said != size:
        report.add("wrong image size", name, f"{said[0]}x{said[1]}, but the image is {size[0]}x{size[1]}")
        return False
    return True


def _fault(box: tuple[float, ...] | None, image: dict[str, Any]) -> str | None:
    if box is None or len(box) != 4:
        return "not four numbers"
    left, top, width, height = box
    return box_fault((left, top, left + width, top + height), image["width"], image["height"])
