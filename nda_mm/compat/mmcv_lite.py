"""An mmcv that was installed without compiled operators (mmcv-lite) gets those that torch and torchvision can make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .mend import Mend, host_file

__all__ = ["COMPILED_MMCV", "MMCVLite", "OperatorModule"]

COMPILED_MMCV = (
    "pip uninstall mmcv-lite, then MMCV_WITH_OPS=1 pip install --no-build-isolation mmcv==2.1.0, with a C++ compiler "
    "and, for a GPU, nvcc"
)

#: What the operators that are not supplied are for, by the beginning of their names.
_PURPOSES = {
    "active_rotated": "rotated boxes (mmrotate)",
    "assign_score": "point clouds (mmdet3d)",
    "ball_": "point clouds (mmdet3d)",
    "bbox_overlaps": "overlaps of boxes by mmcv.ops; mmdet has its own in mmdet.structures.bbox",
    "bezier": "text spotting (mmocr)",
    "border": "BorderDet",
    "bottom_pool": "CornerNet",
    "box_iou": "rotated boxes (mmrotate)",
    "carafe": "upsampling by CARAFE",
    "chamfer": "point clouds (mmdet3d)",
    "contour": "text detection (mmocr)",
    "convex": "rotated boxes (mmrotate)",
    "correlation": "optical flow",
    "deform_roi_pool": "deformable RoI pooling",
    "diff_iou": "rotated boxes (mmrotate)",
    "dynamic_": "point clouds (mmdet3d)",
    "furthest": "point clouds (mmdet3d)",
    "gather_points": "point clouds (mmdet3d)",
    "group_points": "point clouds (mmdet3d)",
    "hard_voxelize": "point clouds (mmdet3d)",
    "iou3d": "boxes in three dimensions (mmdet3d)",
    "knn": "point clouds (mmdet3d)",
    "masked_im2col": "Guided Anchoring at test time",
    "min_area": "rotated boxes (mmrotate)",
    "nms_": "matched, rotated or quadrilateral boxes",
    "pixel_group": "text detection (mmocr)",
    "points_in": "point clouds and rotated boxes",
    "prroi": "precise RoI pooling",
    "psamask": "PSANet",
    "roi_align_rotated": "rotated boxes (mmrotate)",
    "roi_pool": "RoI pooling; RoIAlign is supplied",
    "softmax_focal_loss": "softmax focal loss; the sigmoid form is supplied",
    "sync_bn": "MMSyncBN; torch's SyncBN needs no operator",
    "three_": "point clouds (mmdet3d)",
    "tin_shift": "temporal interlacing (TIN)",
}


class OperatorModule(ModuleType):
    """What stands in ``sys.modules`` as ``mmcv._ext``; an operator that is not supplied raises when it is called.

    No earlier: mmcv looks up every operator there is when ``mmcv.ops`` is imported.
    """

    def __init__(self) -> None:
        super().__init__("mmcv._ext", "Operators of torch and torchvision, from nda_mm.compat.mmcv_operators.")
        self.__spec__ = ModuleSpec(self.__name__, None, origin=__file__)
        self.__file__ = __file__

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from .mmcv_operators import OPERATORS  # imports torchvision, which not everybody needs

        if name in OPERATORS:
            return OPERATORS[name]
        purpose = next((text for start, text in _PURPOSES.items() if name.startswith(start)), "of a special purpose")

        def missing(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(
                f"mmcv's operator {name} ({purpose}) is not among those that nda_mm makes of torch and torchvision. "
                f"A compiled mmcv has it: {COMPILED_MMCV}."
            )

        return missing


class _AfterOperators(MetaPathFinder):
    """Changes ``mmcv.ops`` right after its import, where there is a GPU."""

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "mmcv.ops":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                import torch

                from .mmcv_operators import use_python_on_gpus

                execute(module)
                if torch.cuda.is_available():
                    use_python_on_gpus()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class MMCVLite(Mend):
    """Give an mmcv without compiled operators those that can be made of torch and torchvision.

    A compiled mmcv is left alone.
    """

    name = "mmcv-lite"
    host = "mmcv"
    reason = "ModuleNotFoundError: No module named 'mmcv._ext', at `import mmcv.ops`"
    versions = "mmcv-lite 2.1.0"

    def needed(self) -> bool:
        folder = host_file("mmcv", "")
        return folder is not None and "mmcv._ext" not in sys.modules and not list(folder.glob("_ext.*"))

    def apply(self) -> None:
        sys.modules["mmcv._ext"] = OperatorModule()
        sys.meta_path.insert(0, _AfterOperators())
