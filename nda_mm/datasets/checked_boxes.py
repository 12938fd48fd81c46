"""Detection data sets for mmdet in COCO and PASCAL VOC format, with all files and boxes checked before training."""

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
    """Return whether a detector can learn from a box. The loss of a box without width or height is infinite.

    Args:
        box: Left, top, right and bottom in pixels.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Returns:
        True if the box consists of four finite numbers, is at least one pixel wide and high, and lies at least partly
        inside the image.

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
    """Return the width and height of an image, or report its fault and return None if it cannot be used.

    Args:
        report: Report to which the fault is added.
        path: Image file.
        stated: Width and height according to the annotation; 0 or None if it has none.
        decode: Whether to read the whole file instead of only its header.
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
    """Mixin, listed before an mmdet data set, that checks all files and boxes when the annotations are loaded."""

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
        """Read the annotations and add their faults to ``report``."""
        return super().load_data_list()  # type: ignore[misc]

    def load_data_list(self) -> list[dict]:
        """Read the annotations, then raise or warn about their faults."""
        self.report = FileReport()
        data_list = self.read_checked()
        if self.bad_files == "refuse":
            self._refuse("has bad files (set bad_files='skip' to leave them out)", FILE_FAULTS)
        if self.unknown_classes == "refuse":
            self._refuse("has unknown classes (set unknown_classes='skip' to leave them out)", [UNKNOWN_CLASS])
        if not data_list:
            raise ValueError("\n  ".join([f"{self.ann_file}: no image can be used", *self.report.lines()]))
        if lines := self.report.lines([*FILE_FAULTS, UNKNOWN_CLASS, BAD_BOX]):
            print_log("\n  ".join([f"{self.ann_file}: the following are left out", *lines]), "current", logging.WARNING)
        return data_list

    def _refuse(self, what: str, kinds: Collection[str]) -> None:
        if lines := self.report.lines(kinds):
            raise ValueError("\n  ".join([f"{self.ann_file} {what}:", *lines]))


@DATASETS.register_module()
class CheckedVOCDataset(BoxChecks, VOCDataset):
    """mmdet's ``VOCDataset`` for any classes, with every file and box checked before training.

    Boxes that no detector can learn from are dropped: boxes without width or height, with swapped corners, outside the
    image, or with values that are not numbers. One warning counts them and names their files. Missing and unreadable
    files and unknown classes raise an error that names the files, or are left out and counted. JPEG, PNG and BMP images
    are supported.

    Args:
        bad_files: Whether to 'refuse' or 'skip' images that are missing, unreadable or of a different size than their
            annotation says, and annotations that are missing or unreadable. Defaults to 'refuse'.
        unknown_classes: Whether to 'refuse' or 'skip' objects of a class that is not in ``metainfo['classes']``. mmdet
            skips them silently. Defaults to 'refuse'.
        decode: Whether to decode every image, which finds truncated files and takes a few milliseconds per image.
            Otherwise, only the headers are read. Defaults to False.
        use_difficult: Whether to treat objects marked as difficult like all others in training. Otherwise, they are
            ignored in training and evaluation, as in mmdet. Never set it for evaluation. Defaults to False.
        kwargs: Arguments of mmdet's ``VOCDataset``: ``data_root``, ``ann_file``,
            ``data_prefix=dict(sub_data_root=...)``, ``metainfo=dict(classes=...)``, ``filter_cfg``, ``pipeline``, ...

    Raises:
        ValueError: If a refused fault is found, or no image is left.
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
        """Return the data info of one image, or None if it cannot be used; overrides the method of mmdet 3.3."""
        name, root = img_info["img_id"], Path(self.sub_data_root)
        annotation, image = root / self.ann_subdir / f"{name}.xml", find_image(root / self.img_subdir, name)
        try:
            check_file(annotation)
            tree = ElementTree.parse(annotation)
            # The image must exist and have the size that the annotation states.
            stated = int(tree.findtext("size/width") or 0), int(tree.findtext("size/height") or 0)
            size = check_image(self.report, image, stated, decode=self.decode)
            if size is None:
                return None
            # mmdet parses the remaining objects, with zero-based corners.
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
            # As mmdet reads them: zero-based integers. A box of one pixel then has no width.
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

    As in :class:`~nda_mm.datasets.CheckedVOCDataset`: unusable boxes are dropped and counted in one warning; bad files
    and unknown classes raise an error, or are left out and counted. mmdet itself drops most unusable boxes silently,
    fails at a missing image only during training, and assigns wrong names to labels if ``classes`` are in a different
    order than in the file.

    For evaluation, use ``CocoMetric`` without ``ann_file``, and include ``instances`` in the ``meta_keys`` of
    ``PackDetInputs``. The metric then uses the boxes that passed the checks.

    Args:
        bad_files: Whether to 'refuse' or 'skip' images that are missing, unreadable or of a different size than the
            annotation file says. Defaults to 'refuse'.
        unknown_classes: Whether to 'refuse' or 'skip' annotations of a category that is not in ``metainfo['classes']``.
            Defaults to 'refuse'.
        decode: Whether to decode every image. Otherwise, only the headers are read. Defaults to False.
        kwargs: Arguments of mmdet's ``CocoDataset``: ``data_root``, ``ann_file``, ``data_prefix=dict(img=...)``,
            ``metainfo=dict(classes=...)``, ...

    Raises:
        ValueError: If a refused fault is found, the annotation file is damaged or does not match the classes, or no
            image is left.
        FileNotFoundError: If ``ann_file`` does not exist.

    Example:
        In a config of mmdet::

            metainfo = dict(classes=('cat', 'dog'))
            train_dataloader = dict(
                dataset=dict(type='nda_mm.CheckedCocoDataset', ann_file='train.json', metainfo=metainfo)
            )
    """

    def COCOAPI(self, annotation_file: str) -> Any:
        """Return the index that mmdet 3.3's ``load_data_list`` reads, limited to the usable images and annotations."""
        # Check that the file is complete and its classes match.
        try:
            index = CocoDataset.COCOAPI(annotation_file)
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise ValueError(
                f"'{annotation_file}' is damaged, or not a COCO annotation file with boxes: {describe_error(error)}"
            ) from error
        content = index.dataset
        for key, found in (("images", index.imgs), ("annotations", index.anns), ("categories", index.cats)):
            if len(found) != len(content.get(key, ())):
                raise ValueError(f"'{annotation_file}': some of its {key} share an id")
        classes = self._metainfo["classes"]
        known = {category["id"]: category["name"] for category in index.cats.values() if category["name"] in classes}
        if list(known.values()) != list(classes):
            raise ValueError(
                f"metainfo=dict(classes=...) must be in the order of '{annotation_file}' "
                f"({', '.join(known.values())}), but got {', '.join(classes)}"
            )

        # Keep the usable images, with their true sizes.
        images = {}
        for image_id, image in track(index.imgs.items(), "checking images", "images"):
            path = Path(self.data_prefix["img"], str(image.get("file_name")))
            size = check_image(self.report, path, (image.get("width"), image.get("height")), decode=self.decode)
            if size is not None:
                images[image_id] = {**image, "width": size[0], "height": size[1]}

        # Keep their usable annotations.
        annotations = []
        for annotation in index.anns.values():
            number, image_id, category = annotation["id"], annotation["image_id"], annotation["category_id"]
            if image_id not in index.imgs:
                self.report.add("missing image", annotation_file, f"annotation {number} belongs to no listed image")
            if image_id not in images:
                continue
            image, bbox = images[image_id], annotation.get("bbox")
            if category not in known:
                name = index.cats.get(category, {}).get("name", category)
                self.report.add(UNKNOWN_CLASS, image["file_name"], repr(name))
            elif not is_good_box(_corners(bbox), image["width"], image["height"]):
                self.report.add(BAD_BOX, image["file_name"], f"annotation {number}, {bbox}")
            else:
                # mmdet drops boxes without an area, although it is needed only for COCO's size classes.
                annotations.append({**annotation, "area": annotation.get("area") or bbox[2] * bbox[3]})

        # Rebuild the index, and set the aliases that mmdet's class sets when it is constructed.
        index.dataset = {**content, "images": list(images.values()), "annotations": annotations}
        index.createIndex()
        index.img_ann_map, index.cat_img_map = index.imgToAnns, index.catToImgs
        return index


def _corners(bbox: Any) -> Iterator[float]:
    """Yield left, top, right and bottom of a COCO box (left, top, width, height)."""
    left, top, width, height = (value + 0.0 for value in bbox)
    yield from (left, top, left + width, top + height)
