"""Detection sets of seconds, with faults planted in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny_images import save_noise

GOOD = (5, 6, 25, 30)


def write_voc(
    root: Path, name: str, objects: Sequence[tuple[str, Sequence[Any]]], *, difficult: int = 0, size: Any = (40, 32)
) -> None:
    """One image with its annotation, whatever the objects' corners are."""
    save_noise(root / "JPEGImages" / f"{name}.jpg", width=40)
    boxes = "".join(
        f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners))
        + "</bndbox></object>"
        for label, corners in objects
    )
    text = f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{boxes}</annotation>"
    path = root / "Annotations" / f"{name}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def list_images(root: Path, names: Sequence[str], image_set: str = "train") -> str:
    """Write an image set and give its path below ``root``."""
    path = root / "ImageSets" / "Main" / f"{image_set}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(names) + "\n")
    return str(path.relative_to(root))


#: Corners of unusable boxes, as they may stand in a file.
FAULTY = (("here", 6, 25, 30), ("nan", 6, 25, 30), (25, 6, 5, 30), (5, 6, 5, 30), (50, 6, 60, 30))


def plant_voc(root: Path) -> str:
    """A set of images whose every second box is faulty, one kind an image, and one image without boxes."""
    for number, corners in enumerate(FAULTY):
        write_voc(root, str(number), [("cat", corners), ("dog", GOOD)])
    write_voc(root, "empty", [])
    return list_images(root, [*map(str, range(len(FAULTY))), "empty"])


def coco_content(images: int = 2, **changes: Any) -> dict[str, Any]:
    """A valid annotation file of ``images`` images with one box each."""
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 40, "height": 32} for i in range(images)],
        "annotations": [
            {"id": i + 1, "image_id": i, "category_id": 7 + i % 2, "bbox": [5, 6, 20, 24], "area": 480, "iscrowd": 0}
            for i in range(images)
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 8, "name": "dog"}],
    }
    return {**content, **changes}


def write_coco(root: Path, content: dict[str, Any]) -> str:
    """The annotation file with its images, and its name."""
    for image in content["images"]:
        save_noise(root / image["file_name"], width=40)
    (root / "boxes.json").write_text(json.dumps(content))
    return "boxes.json"
