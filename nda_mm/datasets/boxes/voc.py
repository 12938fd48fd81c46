"""Detection sets in PASCAL VOC's layout, for mmdet, checked before training."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset

from nda_mm.datasets.report import track
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_file

from .checks import BAD_BOX, NO_BOXES, UNKNOWN_CLASS, BoxChecks, check_image, is_good_box
from .voc_images import find_image, read_image_set

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


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
            stated = int(tree.findtext("size/width") or 0), int(tree.findtext("size/height") or 0)
            size = check_image(self.report, image, stated, decode=self.decode)
            if size is None:
                return None
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
        return {
            "img_path": str(image),
            "img_id": name,
            "xml_path": str(annotation),
            "width": size[0],
            "height": size[1],
            "instances": instances,
        }

    def _drop_unusable(self, root: ElementTree.Element, file: str, size: tuple[int, int]) -> None:
        """Remove the objects that mmdet cannot use, or would skip silently."""
        for node in root.findall("object"):
            name = node.findtext("name") or ""
            corners = [node.findtext(f"bndbox/{corner}") for corner in _CORNERS]
            if name not in self.cat2label:
                self.report.add(UNKNOWN_CLASS, file, repr(name))
            elif not is_good_box(_zero_based(corners), *size):
                self.report.add(BAD_BOX, file, f"{name} {', '.join(map(str, corners))}")
            else:
                continue
            root.remove(node)
        if self.use_difficult:
            for node in root.iter("difficult"):
                node.text = "0"


def _zero_based(corners: list[str | None]) -> list[int] | None:
    """As mmdet reads corners: whole numbers, counted from 0. A box of one pixel has no width then."""
    try:
        return [int(float(corner)) - 1 for corner in corners]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
