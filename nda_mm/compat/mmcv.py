"""An mmcv that was installed without compiled operators (mmcv-lite) gets those that torch and torchvision can make."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .patch import Patch, installed_file

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
            raise NotImplementedError(
                f"mmcv's operator {name} is not among those that nda_mm makes of torch and torchvision. "
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
        sys.meta_path.insert(0, _AfterOperators())
