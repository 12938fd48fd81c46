"""COCO's format as a data set of mmdet's that no faulty annotation can stop in the middle of an epoch."""

from __future__ import annotations

import logging
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .checks import FILE_FAULTS, UNKNOWN_CLASS, FaultReport, check_policy
from .coco_json import read_coco


@DATASETS.register_module()
class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with every file and box looked at before training.

    As ``nda_mm.CheckedVOCDataset``: faulty boxes are dropped and counted in one warning, missing and
    unreadable files and unknown classes are refused at the start, with the files named, or left out and counted. mmdet
    itself drops most faulty boxes without a word, is stopped by a missing image in the middle of an epoch, and names
    labels wrongly where ``classes`` are in another order than in the file.

    Evaluate with ``CocoMetric`` without ``ann_file``, and ``instances`` among ``PackDetInputs``' ``meta_keys``: it then
    judges by the boxes that passed.

    Args:
        bad_files: 'refuse' or 'skip' images that are missing, unreadable or of another size than the file says. Default
            'refuse'.
        unknown_classes: 'refuse' or 'skip' annotations of a category that is not in ``metainfo['classes']``. Default
            'refuse'.
        decode: Whether every image is decoded at the start; else only their heads are read. Default False.
        kwargs: ``data_root``, ``ann_file``, ``data_prefix=dict(img=...)``, ``metainfo=dict(classes=...)``, ... of
            mmdet's ``CocoDataset``.

    Raises:
        ValueError: At the start, for what is refused, or if nothing is left.
        FileNotFoundError: If ``ann_file`` does not exist.
    """

    def __init__(
        self, *, bad_files: str = "refuse", unknown_classes: str = "refuse", decode: bool = False, **kwargs: Any
    ) -> None:
        check_policy("bad_files", bad_files)
        check_policy("unknown_classes", unknown_classes)
        self.bad_files = bad_files
        self.unknown_classes = unknown_classes
        self.decode = decode
        if kwargs.get("data_root") is not None:
            check_data_root(kwargs["data_root"])
        super().__init__(**kwargs)

    def COCOAPI(self, annotation_file: str) -> Any:
        """What ``load_data_list`` of mmdet 3.3 reads the file with; here, after the checks.

        Args:
            annotation_file: The JSON file.

        Returns:
            The index over the annotations that passed.
        """
        report = FaultReport(str(annotation_file))
        content = read_coco(
            annotation_file, self.data_prefix["img"], self._metainfo["classes"], report, decode=self.decode
        )
        if self.bad_files == "refuse":
            report.refuse(FILE_FAULTS, "bad_files='skip'")
        if self.unknown_classes == "refuse":
            report.refuse([UNKNOWN_CLASS], "unknown_classes='skip', or name it among the classes")
        if not content["images"]:
            raise ValueError("\n  ".join([f"{annotation_file}: no image can be used.", *report.lines()]))
        if summary := report.summary():
            print_log(summary, "current", logging.WARNING)
        index = CocoDataset.COCOAPI()
        index.dataset = content
        index.createIndex()
        # mmdet's class takes these names of the index when it is made, that is, before there was any
        index.img_ann_map, index.cat_img_map = index.imgToAnns, index.catToImgs
        return index
