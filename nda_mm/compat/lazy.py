"""Import modules that need a framework on first use. A missing framework only disables its own components.

Importing all frameworks takes seconds, so a component's module is imported when the component is requested. A registry
imports all of its ``locations``, where one exception would make all of its components unreachable. Modules that need a
framework are therefore imported through :func:`import_guarded`: if the framework fails, it logs one warning and
continues. Errors in our own code are raised.
"""

from __future__ import annotations

import functools
import importlib
import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nda_mm.utils.messages import describe_error

from .frameworks import CORE, FRAMEWORKS, Framework, remedy_for
from .patches import apply_patches

_EXPORT = re.compile(r"^from \.([\w.]+) import (\w+) as (\w+)$", re.MULTILINE)
_warned: set[str] = set()  # frameworks whose failure this process has reported


def lazy_package(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Set up a package to import its names on first access (PEP 562), and apply the patches.

    The names and their modules are read from the package's ``__init__.pyi``, which type checkers and editors also read.

    Source: Scientific Python SPEC 1, "Lazy Loading of Submodules and Functions",
    https://scientific-python.org/specs/spec-0001/.

    Args:
        package: The package's ``__name__``.

    Returns:
        The package's ``__getattr__``, ``__dir__`` and ``__all__``.
    """
    apply_patches()
    exports = _exports(package)

    def get(name: str) -> Any:
        if name not in exports:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = exports[name]
        try:
            value = getattr(importlib.import_module(f"{package}.{module}"), original)
        except Exception as error:
            framework = blamed_framework(error)
            if framework is None:
                raise
            raise ImportError(
                f"{package}.{name} needs {framework.distribution}, which does not load here: {describe_error(error)}. "
                f"Remedy: {remedy_for(framework, error)}.",
                name=framework.package,
            ) from error
        # Cache the value: Python calls __getattr__ only for names that the module does not have.
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(exports), sorted(exports)


@functools.cache
def import_all(package: str) -> None:
    """Import every module of a lazy package, which registers its components; see :func:`import_guarded`."""
    for module in dict.fromkeys(module for module, _ in _exports(package).values()):
        import_guarded(f"{package}.{module}")


def import_component(package: str, name: str) -> None:
    """Import the module that defines a name of a lazy package, which registers it. Ignore other names."""
    exports = _exports(package)
    if name in exports:
        import_guarded(f"{package}.{exports[name][0]}")


def import_guarded(module: str) -> bool:
    """Import a module of this package, or warn once if the framework that it needs does not load.

    A failure is attributed to the framework if the framework is not installed, if the exception was raised while one of
    its modules was being executed, or if a name is missing from an untested version. Other exceptions are raised.

    Args:
        module: Full name of the module, for example ``"nda_mm.models.gans.conditional"``.

    Returns:
        Whether the module was imported and its components are registered.

    Example:
        >>> import_guarded("nda_mm.compat.frameworks")
        True
    """
    try:
        importlib.import_module(module)
    except Exception as error:  # frameworks fail in many ways: AssertionError on versions, AttributeError, OSError ...
        framework = blamed_framework(error)
        if framework is None:
            raise
        _warn_once(module, framework, error)
        return False
    return True


def blamed_framework(error: Exception) -> Framework | None:
    """Return the framework that made the import of one of our modules fail, or None if the error is ours."""
    traceback = error.__traceback__
    while traceback is not None:  # find the outermost framework module that was being executed
        frame = traceback.tb_frame
        framework = _optional_framework(str(frame.f_globals.get("__name__")))
        if framework is not None and frame.f_code.co_name == "<module>":
            return framework
        traceback = traceback.tb_next
    framework = _optional_framework(error.name or "") if isinstance(error, ImportError) else None
    if framework is None or sys.modules.get(framework.package) is None:
        return framework  # not a framework's error, or the framework is not installed
    version = framework.version()  # the framework lacks a module or a name that we import
    return framework if version is None or not framework.serves(version) else None


def _optional_framework(module: str) -> Framework | None:
    """Return the framework that a module belongs to, except torch and mmengine, which everything needs."""
    package = module.split(".")[0]
    return next((each for each in FRAMEWORKS if each.package == package and package not in CORE), None)


def _warn_once(module: str, framework: Framework, error: Exception) -> None:
    from mmengine.logging import print_log

    level = logging.DEBUG if framework.package in _warned else logging.WARNING
    _warned.add(framework.package)
    print_log(
        f"{module} and everything else in nda_mm that needs {framework.distribution} is disabled: "
        f"{describe_error(error)}. The rest of nda_mm works. Remedy: {remedy_for(framework, error)}; "
        "`python -m nda_mm.compat` shows the state of every framework.",
        logger="current",
        level=level,
    )


@functools.cache
def _exports(package: str) -> dict[str, tuple[str, str]]:
    """Return the module and the original name of each exported name; empty if the package is not lazy."""
    stub = Path(str(importlib.import_module(package).__file__)).with_suffix(".pyi")
    text = stub.read_text(encoding="utf-8") if stub.is_file() else ""
    return {name: (module, original) for module, original, name in _EXPORT.findall(text)}
