"""The scenes of real digits as a data set of mmdet's, made at its first use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .digits import Digits
from .digits_scenes import SPLITS, SceneSettings, make_digits_scenes


@DATASETS.register_module()
class DigitsScenes(CocoDataset):
    """Detect and read handwritten digits in small cluttered scenes; no download.

    The scenes are those of :func:`~nda_mm.datasets.toy.digits_scenes.make_digits_scenes`, in COCO's format. If
    ``data_root`` lacks them they are written there, in a few seconds, also where several processes want them at once.
    Training scenes are made of training digits, test scenes of test digits.

    Args:
        data_root: Folder of the scenes; each choice of ``scenes`` needs its own. Default 'data/digits_scenes'.
        split: 'train' or 'test'.
        scenes: Settings that differ from :class:`~nda_mm.datasets.toy.digits_scenes.SceneSettings`' defaults.
        kwargs: ``pipeline``, ``test_mode``, ``indices``, ... of mmdet's ``CocoDataset``.

    Raises:
        ValueError: If an argument is out of its range, or the folder holds something else.

    Example:
        In a config::

            dataset=dict(type="nda_mm.DigitsScenes", split="train", pipeline=[...])
    """

    METAINFO = {
        "classes": Digits.METAINFO["classes"],
        "palette": [
            (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
            (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
        ],
    }  # fmt: skip

    def __init__(
        self,
        data_root: str = "data/digits_scenes",
        split: str = "train",
        *,
        scenes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, but got {split!r}")
        settings = dict(scenes or {})
        for name in ("digits", "digit_size"):
            if name in settings:
                settings[name] = tuple(settings[name])
        self.scenes = SceneSettings(**settings)
        super().__init__(
            data_root=check_data_root(data_root), ann_file=f"{split}.json", data_prefix={"img": f"{split}/"}, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Write the scenes if they are not there, then read them as mmdet does."""
        if make_digits_scenes(self.data_root, self.scenes):
            print_log(f"{self.scenes.train} + {self.scenes.test} scenes were written to {self.data_root}", "current")
        return super().load_data_list()
