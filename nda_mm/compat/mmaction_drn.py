"""The wheel of mmaction2 1.2.0 was built without the folder ``mmaction/models/localizers/drn``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .mend import Mend, host_file

PACKAGE = "mmaction.models.localizers.drn"
MISSING = (
    "DRN (dense regression network, temporal grounding) cannot be built: the wheel of mmaction2 1.2.0 lacks the folder "
    "mmaction/models/localizers/drn, and nda_mm put a stand-in there so that the rest of mmaction2 can be imported. "
    "Install mmaction2 from its source repository to use DRN."
)


class _StandInFinder(MetaPathFinder, Loader):
    """Serves the two absent modules, and only when every ordinary finder has come back empty-handed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == PACKAGE:
            return ModuleSpec(fullname, self, is_package=True)
        if fullname == f"{PACKAGE}.drn":
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        if module.__name__ == PACKAGE:
            return
        from mmaction.registry import MODELS

        class DRN:
            """Stand-in for mmaction2's DRN; says what is missing when it is built."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                raise ImportError(MISSING, name=PACKAGE)

        MODELS.register_module(name="DRN", module=DRN)
        module.DRN = DRN  # type: ignore[attr-defined]


class MMActionDRN(Mend):
    """Let ``import mmaction.models`` pass although a module that it names was left out of the wheel.

    The finder stands last in ``sys.meta_path``: where the folder exists, Python finds it first and the stand-in is
    never asked.
    """

    name = "mmaction-drn"
    host = "mmaction"
    reason = "ModuleNotFoundError: No module named 'mmaction.models.localizers.drn', at `import mmaction.models`"
    versions = "the wheel of mmaction2 1.2.0"

    def needed(self) -> bool:
        if any(isinstance(finder, _StandInFinder) for finder in sys.meta_path):
            return False
        init = host_file("mmaction", "models/localizers/__init__.py")
        if init is None or host_file("mmaction", "models/localizers/drn") is not None:
            return False
        return "from .drn" in init.read_text(encoding="utf-8")

    def apply(self) -> None:
        sys.meta_path.append(_StandInFinder())
