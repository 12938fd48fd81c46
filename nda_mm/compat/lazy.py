"""Packages whose names are imported at first use (PEP 562), so that importing one of them loads no host."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from nda_mm.utils.messages import describe_error

from .guard import blamed_host, import_guarded
from .hosts import remedy_for
from .mends import apply_mends

_EXPORT = re.compile(r"^from \.([\w.]+) import (\w+) as (\w+)$", re.MULTILINE)


def lazy_package(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Import a package's names when they are asked for, and apply the workarounds for the hosts now.

    The names and their modules are those of the package's ``__init__.pyi``, which type checkers and editors read too.

    Source: Scientific Python SPEC 1, "Lazy Loading of Submodules and Functions",
    https://scientific-python.org/specs/spec-0001/.

    Args:
        package: The package's ``__name__``.

    Returns:
        Its ``__getattr__``, ``__dir__`` and ``__all__``.
    """
    apply_mends()
    exports = _exports(package)

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = exports[name]
        try:
            value = getattr(import_module(f"{package}.{module}"), original)
        except Exception as error:
            host = blamed_host(error)
            if host is None:
                raise
            raise ImportError(
                f"{package}.{name} needs {host.distribution}, which does not load here: {describe_error(error)}. "
                f"Remedy: {remedy_for(host, error)}.",
                name=host.package,
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(exports), sorted(exports)


def import_all(package: str) -> None:
    """Import every module of a lazy package, and so register its components; one whose host fails is passed over."""
    for module in dict.fromkeys(module for module, _ in _exports(package).values()):
        import_guarded(f"{package}.{module}")


def _exports(package: str) -> dict[str, tuple[str, str]]:
    """For each name the module it comes from, and what it is called there."""
    stub = Path(str(sys.modules[package].__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    return {name: (module, original) for module, original, name in _EXPORT.findall(stub)}
