"""What a mend is: a named, bounded correction of one fault in a host, applied only where the fault shows itself."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar


class Mend(ABC):
    """One fault of a host and its correction.

    A mend is never applied by version alone: :meth:`needed` probes the fault itself, so that a host that has been
    repaired, in whatever version, is left as it is. The versions say where the fault was seen.
    """

    #: Short name, as printed in the report.
    name: ClassVar[str]
    #: Import name of the package that has the fault.
    host: ClassVar[str]
    #: What goes wrong without the mend, in the words of the error that a user would see.
    reason: ClassVar[str]
    #: Versions in which the fault was seen.
    versions: ClassVar[str]

    @abstractmethod
    def needed(self) -> bool:
        """Whether the fault is there; probing must not raise and must not import the host's heavy parts."""

    @abstractmethod
    def apply(self) -> None:
        """Correct the fault; called only where :meth:`needed` says so, and harmless when repeated."""


def host_file(package: str, relative: str) -> Path | None:
    """Path of a file inside an installed package, found without importing the package.

    Args:
        package: Import name of a top-level package.
        relative: Path inside it, with forward slashes.

    Returns:
        The path, or None where the package or the file is absent.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # a package hidden by sys.modules[package] = None
        return None
    if spec is None:
        return None
    for folder in spec.submodule_search_locations or []:
        path = Path(folder) / relative
        if path.exists():
            return path
    return None
