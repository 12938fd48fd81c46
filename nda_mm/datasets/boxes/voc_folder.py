"""A folder in PASCAL VOC's layout, read with every file and box looked at."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nda_mm.utils.files import check_file, read_text

from .checks import NO_BOXES, UNKNOWN_CLASS, Box, FaultReport, box_fault, image_size, to_numbers

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".JPG", ".JPEG", ".PNG")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VOCObject:
    """One object: ``box`` is 0-based with right and bottom as mmdet counts them, one less than the file's numbers."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class VOCImage:
    """One image of a set, with the objects that passed the checks."""

    image_id: str
    image: Path
    annotation: Path
    width: int
    height: int
    objects: tuple[VOCObject, ...]


def read_voc(
    root: str | Path,
    image_set: str | Path,
    classes: Sequence[str],
    report: FaultReport,
    *,
    images: str = "JPEGImages",
    annotations: str = "Annotations",
    decode: bool = False,
) -> list[VOCImage]:
    """Read the images of a set with their objects; whatever is faulty is left out and noted.

    Coordinates are taken as mmdet takes them: cut to whole numbers, minus one. A box one pixel wide in VOC's inclusive
    count has no width then, and is noted as such.

    Args:
        root: Folder that holds ``images`` and ``annotations``.
        image_set: File with one name per line, without ending.
        classes: Names of the classes.
        report: Gets what is wrong.
        images: Folder of the images below ``root``.
        annotations: Folder of the XML files below ``root``.
        decode: Whether every image is decoded, not only its head.

    Returns:
        One entry for each image that can be used, those without boxes too, in the set's order.

    Raises:
        FileNotFoundError: If there is no such set.
        ValueError: If it names no images, or one twice.
    """
    root = Path(root)
    read = [
        _read_image(root / images, root / annotations, name, set(classes), report, decode)
        for name in read_image_set(image_set)
    ]
    return [image for image in read if image is not None]


def read_image_set(path: str | Path) -> list[str]:
    """The names that an image set lists, without ending.

    Args:
        path: File with one name per line; a label of -1, 0 or 1 behind it is ignored.

    Returns:
        The names, in order.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it names no images, or one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"the list of images '{path}' does not exist (tools/prepare_data.py unpacks the sets that it knows)"
        )
    names = [re.sub(r"\s+-?[01]$", "", line.strip()) for line in read_text(path).splitlines() if line.strip()]
    if not names:
        raise ValueError(f"the list of images '{path}' is empty")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"'{path}' names {len(repeated)} images more than once: {', '.join(repeated[:5])}")
    return names


def find_image(folder: Path, name: str) -> Path | None:
    """The image file of a name without ending, or None if there is none.

    Args:
        folder: Folder of the images.
        name: Name without ending.

    Returns:
        Its path; JPEG goes before PNG and BMP.
    """
    return next((path for ending in _EXTENSIONS if (path := folder / f"{name}{ending}").is_file()), None)


def _read_image(
    images: Path, annotations: Path, name: str, classes: set[str], report: FaultReport, decode: bool
) -> VOCImage | None:
    annotation = annotations / f"{name}.xml"
    try:
        check_file(annotation)
        tree = ElementTree.parse(annotation).getroot()
    except FileNotFoundError:
        report.add("missing annotation", annotation.name)
        return None
    except (ElementTree.ParseError, ValueError, LookupError, OSError) as error:
        report.add("unreadable annotation", annotation.name, str(error))
        return None
    image = find_image(images, name)
    if image is None:
        report.add("missing image", f"{name}{_EXTENSIONS[0]}")
        return None
    try:
        width, height = image_size(image, decode=decode)
    except OSError as error:
        report.add("unreadable image", image.name, str(error))
        return None
    said = to_numbers([tree.findtext("size/width"), tree.findtext("size/height")])
    if said is not None and said != (width, height) and all(said):  # some tools write 0 for not known
        report.add("wrong image size", annotation.name, f"{said[0]:g}x{said[1]:g}, but the image is {width}x{height}")
        return None
    objects = tuple(_read_objects(tree, annotation.name, classes, width, height, report))
    if not objects:
        report.add(NO_BOXES, annotation.name)
    return VOCImage(name, image, annotation, width, height, objects)


def _read_objects(
    tree: ElementTree.Element, file: str, classes: set[str], width: int, height: int, report: FaultReport
) -> list[VOCObject]:
    objects = []
    for node in tree.findall("object"):
        name = (node.findtext("name") or "").strip()
        if name not in classes:
            report.add(UNKNOWN_CLASS, file, repr(name))
            continue
        texts = [node.findtext(f"bndbox/{corner}") for corner in _CORNERS]
        values = to_numbers(texts)
        box = None if values is None else tuple(_zero_based(value) for value in values)
        fault = box_fault(box, width, height)
        if box is not None and fault is None:
            difficult = to_numbers([node.findtext("difficult", "0")])
            objects.append(VOCObject(name, (box[0], box[1], box[2], box[3]), bool(difficult and difficult[0])))
        elif fault is not None:
            report.add(fault, file, f"{name} {', '.join(str(text) for text in texts)}")
    return objects


def _zero_based(value: float) -> float:
    return float(int(value) - 1) if math.isfinite(value) else value
