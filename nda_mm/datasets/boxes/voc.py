"""PASCAL VOC's layout as a data set of mmdet's that no faulty annotation can stop in the middle of an epoch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from mmdet.datasets import VOCDataset
from mmengine.logging import print_log

from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .checks import FILE_FAULTS, UNKNOWN_CLASS, FaultReport, check_policy
from .voc_folder import VOCImage, read_voc


@DATASETS.register_module()
class CheckedVOCDataset(VOCDataset):
    """mmdet's ``VOCDataset`` for any classes, with every file and box looked at before training.

    Boxes that no detector can learn from (without width or height, with swapped corners, outside the image, not finite,
    no numbers) are dropped; one warning counts them and names their files. Missing and unreadable files and unknown
    classes stop the run at its start, with the files named, or are left out and counted. JPEG, PNG and BMP are read.

    Args:
        bad_files: 'refuse' or 'skip' images that are missing, unreadable or of another size than their annotation says,
            and annotations that are missing or unreadable. Default 'refuse'.
        unknown_classes: 'refuse' or 'skip' objects of a class that is not in ``metainfo['classes']``. mmdet skips them
            without a word. Default 'refuse'.
        decode: Whether every image is decoded at the start, which finds cut-off files and takes some milliseconds an
            image; else only their heads are read. Default False.
        use_difficult: Whether objects marked difficult are trained on as all others; else, as in mmdet, they are
            neither learnt nor held against the detector. Never judge on such a set. Default False.
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

    def __init__(
        self,
        *,
        bad_files: str = "refuse",
        unknown_classes: str = "refuse",
        decode: bool = False,
        use_difficult: bool = False,
        **kwargs: Any,
    ) -> None:
        check_policy("bad_files", bad_files)
        check_policy("unknown_classes", unknown_classes)
        self.bad_files = bad_files
        self.unknown_classes = unknown_classes
        self.decode = decode
        if kwargs.get("data_root") is not None:
            check_data_root(kwargs["data_root"])
        self.use_difficult = use_difficult
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """Overrides that of mmdet 3.3, which parses without a check."""
        classes = self._metainfo["classes"]
        self.cat2label = {name: label for label, name in enumerate(classes)}
        report = FaultReport(str(self.ann_file))
        images = read_voc(
            Path(self.sub_data_root),
            self.ann_file,
            classes,
            report,
            images=self.img_subdir,
            annotations=self.ann_subdir,
            decode=self.decode,
        )
        if self.bad_files == "refuse":
            report.refuse(FILE_FAULTS, "bad_files='skip'")
        if self.unknown_classes == "refuse":
            report.refuse([UNKNOWN_CLASS], "unknown_classes='skip', or name it among the classes")
        if not images:
            raise ValueError("\n  ".join([f"{self.ann_file}: no image can be used.", *report.lines()]))
        if summary := report.summary():
            print_log(summary, "current", logging.WARNING)
        return [self._as_data_info(image) for image in images]

    def _as_data_info(self, image: VOCImage) -> dict[str, Any]:
        return {
            "img_path": str(image.image),
            "img_id": image.image_id,
            "xml_path": str(image.annotation),
            "width": image.width,
            "height": image.height,
            "instances": [
                {
                    "bbox": list(item.box),
                    "bbox_label": self.cat2label[item.name],
                    "ignore_flag": int((item.difficult and not self.use_difficult) or self._is_small(item.box)),
                }
                for item in image.objects
            ],
        }

    def _is_small(self, box: tuple[float, float, float, float]) -> bool:
        least = self.bbox_min_size  # of filter_cfg
        return least is not None and min(box[2] - box[0], box[3] - box[1]) < least
