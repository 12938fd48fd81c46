"""Base class of the patches, and helpers that locate a module or change it when it is imported."""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar


class Patch(ABC):
    """Base class for the correction of one fault in a framework.

    A patch is never applied because of a version number alone. :meth:`needed` probes for the fault itself, so a fixed
    framework of any version is left unchanged. ``versions`` only records where the fault was seen.
    """

    #: Short name, as printed in the report.
    name: ClassVar[str]
    #: Import name of the package that has the fault.
    framework: ClassVar[str]
    #: What goes wrong without the patch, if possible as the error message that a user would see.
    reason: ClassVar[str]
    #: Versions in which the fault was seen.
    versions: ClassVar[str]

    @abstractmethod
    def needed(self) -> bool:
        """Return whether the fault is present. Must not raise, and must not import the framework's heavy parts."""

    @abstractmethod
    def apply(self) -> None:
        """Correct the fault. Called only if :meth:`needed` returns True; must be harmless when repeated."""


def installed_file(package: str, relative: str) -> Path | None:
    """Find a file inside an installed package without importing the package.

    Args:
        package: Import name of a top-level package.
        relative: Path inside it, with forward slashes.

    Returns:
        The path, or None if the package or the file is absent.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a package hidden by sys.modules[package] = None
        return None
    folders = (spec.submodule_search_locations or []) if spec is not None else []
    return next((path for folder in folders if (path := Path(folder) / relative).exists()), None)


class AroundImport:
    """Meta path finder that calls functions right before and right after one module is executed."""

    def __init__(self, module: str, before: Callable[[], None], after: Callable[[Any], None]) -> None:
        self.module, self.before, self.after = module, before, after

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, and wrap its loader's ``exec_module``."""
        spec = PathFinder.find_spec(fullname, path) if fullname == self.module else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            self.before()
            execute(module)
            self.after(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def around_import(module: str, before: Callable[[], None], after: Callable[[Any], None]) -> None:
    """Call functions right before and right after a module is executed, whenever it is imported.

    Args:
        module: Full name of the module.
        before: Called without arguments.
        after: Called with the module.
    """
    sys.meta_path.insert(0, AroundImport(module, before, after))


def after_import(module: str, change: Callable[[Any], None]) -> None:
    """Change a module right after it is imported, whenever that happens; see :func:`around_import`."""
    around_import(module, lambda: None, change)


def is_awaited(module: str) -> bool:
    """Return whether functions are registered for the import of a module."""
    return any(isinstance(finder, AroundImport) and finder.module == module for finder in sys.meta_path)
