"""Patch of mmcv: supply compiled operators that mmcv-lite lacks, written in torch and torchvision."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .patch import Patch, after_import, installed_file

__all__ = ["COMPILED_MMCV", "MMCVLite", "OperatorModule"]

COMPILED_MMCV = (
    "pip uninstall mmcv-lite, then MMCV_WITH_OPS=1 pip install --no-build-isolation mmcv==2.1.0, with a C++ compiler "
    "and, for a GPU, nvcc"
)


class OperatorModule(ModuleType):
    """Replacement for ``mmcv._ext`` in ``sys.modules``.

    An operator that is not supplied raises when it is called, not when it is looked up: importing ``mmcv.ops`` looks
    up every operator.
    """

    def __init__(self) -> None:
        super().__init__("mmcv._ext", "Operators of torch and torchvision, from nda_mm.compat.mmcv_operators.")
        self.__spec__ = ModuleSpec(self.__name__, None, origin=__file__)
        self.__file__ = __file__

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from .mmcv_operators import OPERATORS  # imports torchvision, which is not always needed

        if name in OPERATORS:
            return OPERATORS[name]

        def missing(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(f"mmcv's operator {name} needs a compiled mmcv: {COMPILED_MMCV}")

        return missing


class MMCVLite(Patch):
    """Supply an mmcv without compiled operators with those that can be written in torch and torchvision.

    A compiled mmcv is left unchanged.
    """

    name = "mmcv-lite"
    framework = "mmcv"
    reason = "ModuleNotFoundError: No module named 'mmcv._ext', at `import mmcv.ops`"
    versions = "mmcv-lite 2.1.0"

    def needed(self) -> bool:
        folder = installed_file("mmcv", "")
        return folder is not None and "mmcv._ext" not in sys.modules and not list(folder.glob("_ext.*"))

    def apply(self) -> None:
        sys.modules["mmcv._ext"] = OperatorModule()
        after_import("mmcv.ops", self.use_python_on_gpus)

    @staticmethod
    def use_python_on_gpus(module: ModuleType) -> None:
        """If there is a GPU, replace the kernels that only a compiled mmcv has."""
        import torch

        if torch.cuda.is_available():
            from .mmcv_operators import use_python_on_gpus

            use_python_on_gpus()
