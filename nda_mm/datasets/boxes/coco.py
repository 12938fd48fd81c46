"""Detection sets in COCO's format, for mmdet, checked before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmdet.datasets import CocoDataset

from nda_mm.datasets.report import track
from nda_mm.registry import DATASETS
from nda_mm.utils.messages import describe_error

from .checks import BAD_BOX, UNKNOWN_CLASS, BoxChecks, check_image, is_good_box


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
        images, sizes = {}, {}
        for image_id, image in track(index.imgs.items(), "checking images", "images"):
            path = Path(self.data_prefix["img"], str(image.get("file_name")))
            size = check_image(self.report, path, (image.get("width"), image.get("height")), decode=self.decode)
            if size is not None:
                images[image_id] = {**image, "width": size[0], "height": size[1]}
                sizes[image_id] = size
        annotations = []
        for annotation in index.anns.values():
            number, image_id, category = annotation["id"], annotation["image_id"], annotation["category_id"]
            if image_id not in index.imgs:
                self.report.add("missing image", annotation_file, f"annotation {number} is of no listed image")
            elif image_id not in images:
                continue
            elif category not in known:
                name = index.cats.get(category, {}).get("name", category)
                self.report.add(UNKNOWN_CLASS, images[image_id]["file_name"], repr(name))
            elif not is_good_box(_corners(bbox := annotation.get("bbox")), *sizes[image_id]):
                self.report.add(BAD_BOX, images[image_id]["file_name"], f"annotation {number}, {bbox}")
            else:
                # mmdet drops boxes without area, which it needs for COCO's size classes only
                annotations.append({**annotation, "area": annotation.get("area") or bbox[2] * bbox[3]})
        index.dataset = {**content, "images": list(images.values()), "annotations": annotations}
        index.createIndex()
        # mmdet's class takes these names of the index when it is made
        index.img_ann_map, index.cat_img_map = index.imgToAnns, index.catToImgs
        return index


def _corners(bbox: Any) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom of COCO's left, top, width, height."""
    try:
        left, top, width, height = (value + 0.0 for value in bbox)
    except (TypeError, ValueError):
        return None
    return left, top, left + width, top + height
