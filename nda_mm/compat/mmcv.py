"""An mmcv that was installed without compiled operators (mmcv-lite) gets those that torch and torchvision can make."""

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

        def missing(*args: Any, **kwargs: Any) -> Any:
            raise NotImplementedError(f"mmcv's operator {name} needs a compiled mmcv: {COMPILED_MMCV}")

        return missing


class MMCVLite(Patch):
    """Give an mmcv without compiled operators those that can be made of torch and torchvision.

    A compiled mmcv is left alone.
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
        """Exchange the kernels that only a compiled mmcv has, where there is a GPU."""
        import torch

        if torch.cuda.is_available():
            from .mmcv_operators import use_python_on_gpus

            use_python_on_gpus()
