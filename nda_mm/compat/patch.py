"""What a patch is, and how a module is found, or changed, before it is imported."""

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
    """One fault of a framework and its correction.

    A patch is never applied by version alone: :meth:`needed` probes the fault itself, so that a repaired framework, in
    whatever version, is left as it is. The versions say where the fault was seen.
    """

    #: Short name, as printed in the report.
    name: ClassVar[str]
    #: Import name of the package that has the fault.
    framework: ClassVar[str]
    #: What goes wrong without the patch, in the words of the error that a user would see.
    reason: ClassVar[str]
    #: Versions in which the fault was seen.
    versions: ClassVar[str]

    @abstractmethod
    def needed(self) -> bool:
        """Probe the fault; must not raise and must not import the framework's heavy parts."""

    @abstractmethod
    def apply(self) -> None:
        """Correct the fault; called only if :meth:`needed` returns True, and harmless when repeated."""


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
    """Finds one module as usual, and does something right before and right after it is executed."""

    def __init__(self, module: str, before: Callable[[], None], after: Callable[[Any], None]) -> None:
        self.module, self.before, self.after = module, before, after

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module, and wrap what executes it."""
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
    """Do something right before a module is executed and right after, whenever it is imported.

    Args:
        module: Full name of the module.
        before: Called without arguments.
        after: Gets the module.
    """
    sys.meta_path.insert(0, AroundImport(module, before, after))


def after_import(module: str, change: Callable[[Any], None]) -> None:
    """Change a module right after it is imported, whenever that will be; see :func:`around_import`."""
    around_import(module, lambda: None, change)


def is_awaited(module: str) -> bool:
    """Whether something is to be done around the import of a module."""
    return any(isinstance(finder, AroundImport) and finder.module == module for finder in sys.meta_path)
