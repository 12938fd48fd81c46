"""What a patch is."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar


class Patch(ABC):
    """One fault of a framework and its correction.

    A patch is never applied by version alone: :meth:`needed` probes the fault itself, so that a framework that was
    repaired, in whatever version, is left as it is. The versions say where the fault was seen.
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
