"""Patch of mmaction2: the wheel of 1.2.0 was built without the folder ``mmaction/models/localizers/drn``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .patch import Patch, installed_file

DRN_PACKAGE = "mmaction.models.localizers.drn"
DRN_MODULE = f"{DRN_PACKAGE}.drn"


class _DRNModule(ModuleType):
    """Registers a placeholder once mmaction2, of which the wheel lacks this module, asks for its class."""

    def __getattr__(self, name: str) -> type:
        if name != "DRN":
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        from mmaction.registry import MODELS

        class DRN:
            """Placeholder for mmaction2's DRN."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(
                    "DRN (dense regression network, temporal grounding) cannot be built: the wheel of mmaction2 1.2.0 "
                    f"lacks {DRN_MODULE}. Install mmaction2 from its source repository to use it.",
                    name=DRN_PACKAGE,
                )

        MODELS.register_module(name="DRN", module=DRN)
        self.DRN = DRN
        return DRN


class MMActionDRN(Patch):
    """Let ``import mmaction.models`` pass although a module that it names was left out of the wheel."""

    name = "mmaction-drn"
    framework = "mmaction"
    reason = "ModuleNotFoundError: No module named 'mmaction.models.localizers.drn', at `import mmaction.models`"
    versions = "the wheel of mmaction2 1.2.0"

    def needed(self) -> bool:
        init = installed_file("mmaction", "models/localizers/__init__.py")
        if init is None or DRN_MODULE in sys.modules or installed_file("mmaction", "models/localizers/drn") is not None:
            return False
        return "from .drn" in init.read_text(encoding="utf-8")

    def apply(self) -> None:
        for name in (DRN_PACKAGE, DRN_MODULE):
            sys.modules.setdefault(name, _DRNModule(name))
