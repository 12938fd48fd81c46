"""Detection sets for mmdet in COCO's format and PASCAL VOC's layout, with all files and boxes checked at the start."""

from __future__ import annotations

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset, VOCDataset
from mmengine.logging import print_log

from nda_mm.datasets.decoding import image_size
from nda_mm.datasets.images.voc_images import find_image, read_image_set
from nda_mm.datasets.report import FileReport, track
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, check_file
from nda_mm.utils.messages import describe_error

FILE_FAULTS = (
    "missing image", "unreadable image", "wrong image size", "missing annotation", "unreadable annotation",
)  # fmt: skip
UNKNOWN_CLASS = "unknown class"
BAD_BOX = "unusable box"
NO_BOXES = "no boxes"


def is_good_box(box: Iterable[Any] | None, width: float, height: float) -> bool:
    """Whether a detector can learn from a box; the loss of one without width or height is infinite.

    Args:
        box: Left, top, right, bottom in pixels.
        width: Of the image, in pixels.
        height: Of the image, in pixels.

    Returns:
        Whether these are four finite numbers of a box that is at least a pixel wide and high and partly in the image.

    Example:
        >>> is_good_box((1, 1, 5, 5), 10, 10), is_good_box((5, 1, 1, 5), 10, 10), is_good_box((10, 1, 12, 5), 10, 10)
        (True, False, False)
    """
    try:
        left, top, right, bottom = (float(value) for value in box)  # type: ignore[union-attr]
    except (TypeError, ValueError, OverflowError):
        return False
    is_finite = all(map(math.isfinite, (left, top, right, bottom)))
    has_area = right - left >= 1 and bottom - top >= 1
    return is_finite and has_area and right > 0 and bottom > 0 and left < width and top < height


def check_image(
    report: FileReport, path: Path, stated: tuple[Any, Any], *, decode: bool = False
) -> tuple[int, int] | None:
    """Width and height of an image, or None, with the fault in the report, if it cannot be used.

    Args:
        report: Gets the fault.
        path: The file.
        stated: Width and height in the annotation; 0 or None where it has none.
        decode: Whether all of the file is read, not only its header.
    """
    try:
        size = image_size(path, decode=decode)
    except FileNotFoundError:
        report.add("missing image", path.name)
        return None
    except OSError as error:
        report.add("unreadable image", path.name, str(error))
        return None
    if all(stated) and stated != size:
        report.add("wrong image size", path.name, f"{stated[0]}x{stated[1]}, but the image is {size[0]}x{size[1]}")
        return None
    return size


class BoxChecks:
    """Mixin before a data set of mmdet's: checks all files and boxes when the annotations are loaded."""

    report: FileReport
    ann_file: str

    def __init__(
        self, *, bad_files: str = "refuse", unknown_classes: str = "refuse", decode: bool = False, **kwargs: Any
    ) -> None:
        check_choice(bad_files, "bad_files", ("refuse", "skip"))
        check_choice(unknown_classes, "unknown_classes", ("refuse", "skip"))
        if kwargs.get("data_root") is not None:
            check_data_root(kwargs["data_root"])
        self.bad_files = bad_files
        self.unknown_classes = unknown_classes
        self.decode = decode
        super().__init__(**kwargs)

    def read_checked(self) -> list[dict]:
        """Read the annotations, and add what is wrong with them to ``report``."""
        return super().load_data_list()  # type: ignore[misc]

    def load_data_list(self) -> list[dict]:
        """Read the annotations, then raise or warn."""
        self.report = FileReport()
        data_list = self.read_checked()
        if self.bad_files == "refuse":
            self._refuse("has bad files (bad_files='skip' leaves them out)", FILE_FAULTS)
        if self.unknown_classes == "refuse":
            self._refuse("has unknown classes (unknown_classes='skip' leaves them out)", [UNKNOWN_CLASS])
        if not data_list:
            raise ValueError("\n  ".join([f"{self.ann_file}: no image can be used", *self.report.lines()]))
        if lines := self.report.lines([*FILE_FAULTS, UNKNOWN_CLASS, BAD_BOX]):
            print_log("\n  ".join([f"{self.ann_file}: left out are", *lines]), "current", logging.WARNING)
        return data_list

    def _refuse(self, what: str, kinds: Collection[str]) -> None:
        if lines := self.report.lines(kinds):
            raise ValueError("\n  ".join([f"{self.ann_file} {what}:", *lines]))


@DATASETS.register_module()
class CheckedVOCDataset(BoxChecks, VOCDataset):
    """mmdet's ``VOCDataset`` for any classes, with every file and box checked before training.

    Boxes that no detector can learn from (without width or height, with swapped corners, outside the image, not
    numbers) are dropped; one warning counts them and names their files. Missing and unreadable files and unknown
    classes are errors at the start, with the files named, or are left out and counted. JPEG, PNG and BMP are read.

    Args:
        bad_files: 'refuse' or 'skip' images that are missing, unreadable or of another size than their annotation says,
            and annotations that are missing or unreadable. Default 'refuse'.
        unknown_classes: 'refuse' or 'skip' objects of a class that is not in ``metainfo['classes']``. mmdet skips them
            silently. Default 'refuse'.
        decode: Whether every image is decoded at the start, which finds truncated files and takes some milliseconds an
            image; else only their headers are read. Default False.
        use_difficult: Whether objects marked difficult are trained on as all others; else, as in mmdet, they are
            ignored in training and evaluation. Never evaluate with it. Default False.
        kwargs: ``data_root``, ``ann_file``, ``data_prefix=dict(sub_data_root=...)``, ``metainfo=dict(classes=...)``,
            ``filter_cfg``, ``pipeline``, ... of mmdet's ``VOCDataset``.

    Raises:
        ValueError: At the start, for what is refused, or if nothing is left.
        FileNotFoundError: If ``ann_file`` does not exist.

    Example:
        In a config::

            dataset=dict(type="nda_mm.CheckedVOCDataset", data_root="data/bccd", metainfo=dict(classes=("RBC", "WBC")),
                         ann_file="ImageSets/Main/train.txt", data_prefix=dict(sub_data_root=""), pipeline=[...])
    """

    def __init__(self, *, use_difficult: bool = False, **kwargs: Any) -> None:
        self.use_difficult = use_difficult
        super().__init__(**kwargs)

    def read_checked(self) -> list[dict]:
        """Read the annotations of the images that can be used."""
        self.cat2label = {name: label for label, name in enumerate(self._metainfo["classes"])}
        names = track(read_image_set(self.ann_file), "checking images", "images")
        data_list = [self.parse_data_info({"img_id": name}) for name in names]
        return [info for info in data_list if info]

    def parse_data_info(self, img_info: dict) -> dict | None:
        """The data info of one image, or None if it cannot be used; overrides that of mmdet 3.3."""
        name, root = img_info["img_id"], Path(self.sub_data_root)
        annotation, image = root / self.ann_subdir / f"{name}.xml", find_image(root / self.img_subdir, name)
        try:
            check_file(annotation)
            tree = ElementTree.parse(annotation)
            # The image must be there, and of the size that the annotation states.
            stated = int(tree.findtext("size/width") or 0), int(tree.findtext("size/height") or 0)
            size = check_image(self.report, image, stated, decode=self.decode)
            if size is None:
                return None
            # mmdet reads the objects that are left, with corners counted from 0.
            self._drop_unusable(tree.getroot(), annotation.name, size)
            instances = self._parse_instance_info(tree, minus_one=True)
        except FileNotFoundError:
            self.report.add("missing annotation", annotation.name)
            return None
        except (ElementTree.ParseError, ValueError, TypeError, LookupError, OSError) as error:
            self.report.add("unreadable annotation", annotation.name, str(error))
            return None
        if not instances:
            self.report.add(NO_BOXES, annotation.name)
        paths = {"img_path": str(image), "img_id": name, "xml_path": str(annotation)}
        return {**paths, "width": size[0], "height": size[1], "instances": instances}

    def _drop_unusable(self, root: ElementTree.Element, file: str, size: tuple[int, int]) -> None:
        """Remove the objects that mmdet cannot use, or would skip silently."""
        for node in root.findall("object"):
            name = node.findtext("name") or ""
            corners = [node.findtext(f"bndbox/{corner}") for corner in ("xmin", "ymin", "xmax", "ymax")]
            # As mmdet reads them: whole numbers, counted from 0. A box of one pixel has no width then.
            zero_based = (int(float(corner)) - 1 for corner in corners)  # type: ignore[arg-type]
            if name not in self.cat2label:
                self.report.add(UNKNOWN_CLASS, file, repr(name))
            elif not is_good_box(zero_based, *size):
                self.report.add(BAD_BOX, file, f"{name} {', '.join(map(str, corners))}")
            else:
                continue
            root.remove(node)
        if self.use_difficult:
            for node in root.iter("difficult"):
                node.text = "0"


@DATASETS.register_module()
class CheckedCocoDataset(BoxChecks, CocoDataset):
    """mmdet's ``CocoDataset`` with every file and box checked before training.

    As in :class:`~nda_mm.datasets.CheckedVOCDataset`: unusable boxes are dropped and counted in one warning, bad files
    and unknown classes are errors at the start, or are left out and counted. mmdet itself drops most unusable boxes
    silently, fails at a missing image during training, and names labels wrongly where ``classes`` are in another order
    than in the file.

    Evaluate with ``CocoMetric`` without ``ann_file``, and ``instances`` among ``PackDetInputs``' ``meta_keys``: it then
    uses the boxes that passed.

    Args:
        bad_files: 'refuse' or 'skip' images that are missing, unreadable or of another size than the file says. Default
            'refuse'.
        unknown_classes: 'refuse' or 'skip' annotations of a category that is not in ``metainfo['classes']``. Default
            'refuse'.
        decode: Whether every image is decoded at the start; else only their headers are read. Default False.
        kwargs: ``data_root``, ``ann_file``, ``data_prefix=dict(img=...)``, ``metainfo=dict(classes=...)``, ... of
            mmdet's ``CocoDataset``.

    Raises:
        ValueError: At the start, for what is refused, if the annotation file is damaged or does not fit the classes, or
            if nothing is left.
        FileNotFoundError: If ``ann_file`` does not exist.

    Example:
        In a config of mmdet::

            metainfo = dict(classes=('cat', 'dog'))
            train_dataloader = dict(
                dataset=dict(type='nda_mm.CheckedCocoDataset', ann_file='train.json', metainfo=metainfo)
            )
    """

    def COCOAPI(self, annotation_file: str) -> Any:
        """The index that ``load_data_list`` of mmdet 3.3 reads, of the images and annotations that passed."""
        # Is the file whole, and do its classes fit?
        try:
            index = CocoDataset.COCOAPI(annotation_file)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ValueError(
                f"'{annotation_file}' is damaged, or no annotation file of boxes in COCO's format: "
                f"{describe_error(error)}"
            ) from error
        content = index.dataset
        for key, found in (("images", index.imgs), ("annotations", index.anns), ("categories", index.cats)):
            if len(found) != len(content.get(key, ())):
                raise ValueError(f"'{annotation_file}': some of its {key} share an id")
        classes = self._metainfo["classes"]
        known = {category["id"]: category["name"] for category in index.cats.values() if category["name"] in classes}
        if list(known.values()) != list(classes):
            raise ValueError(
                f"metainfo=dict(classes=...) must be in the order of '{annotation_file}', {', '.join(known.values())}, "
                f"but got {', '.join(classes)}"
            )

        # Images that can be used, with their true sizes.
        images = {}
        for image_id, image in track(index.imgs.items(), "checking images", "images"):
            path = Path(self.data_prefix["img"], str(image.get("file_name")))
            size = check_image(self.report, path, (image.get("width"), image.get("height")), decode=self.decode)
            if size is not None:
                images[image_id] = {**image, "width": size[0], "height": size[1]}

        # Their annotations.
        annotations = []
        for annotation in index.anns.values():
            number, image_id, category = annotation["id"], annotation["image_id"], annotation["category_id"]
            if image_id not in index.imgs:
                self.report.add("missing image", annotation_file, f"annotation {number} is of no listed image")
            if image_id not in images:
                continue
            image, bbox = images[image_id], annotation.get("bbox")
            if category not in known:
                name = index.cats.get(category, {}).get("name", category)
                self.report.add(UNKNOWN_CLASS, image["file_name"], repr(name))
            elif not is_good_box(_corners(bbox), image["width"], image["height"]):
                self.report.add(BAD_BOX, image["file_name"], f"annotation {number}, {bbox}")
            else:
                # mmdet drops boxes without area, which it needs for COCO's size classes only.
                annotations.append({**annotation, "area": annotation.get("area") or bbox[2] * bbox[3]})

        # The index is built again, and gets the names that mmdet's class gave it when it was made.
        index.dataset = {**content, "images": list(images.values()), "annotations": annotations}
        index.createIndex()
        index.img_ann_map, index.cat_img_map = index.imgToAnns, index.catToImgs
        return index


def _corners(bbox: Any) -> Iterator[float]:
    """Left, top, right, bottom of COCO's left, top, width, height."""
    left, top, width, height = (value + 0.0 for value in bbox)
    yield from (left, top, left + width, top + height)
