"""Importing what needs a framework: at first use, and so that a missing one costs its own components only.

Importing all frameworks takes seconds, so a component's module is imported when the component is asked for. Where a
registry imports all its ``locations``, one exception would make every component of it unreachable. Modules that need a
framework are therefore imported through :func:`import_guarded`, which survives a framework's failure, with one warning,
and raises a mistake of our own.
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
    """Import a package's names when they are asked for (PEP 562), and patch the frameworks now.

    The names and their modules are those of the package's ``__init__.pyi``, which type checkers and editors read too.

    Source: Scientific Python SPEC 1, "Lazy Loading of Submodules and Functions",
    https://scientific-python.org/specs/spec-0001/.

    Args:
        package: The package's ``__name__``.

    Returns:
        Its ``__getattr__``, ``__dir__`` and ``__all__``.
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
        # Python asks for a name only as long as the module does not have it.
        setattr(sys.modules[package], name, value)
        return value

    return get, lambda: sorted(exports), sorted(exports)


@functools.cache
def import_all(package: str) -> None:
    """Import every module of a lazy package, and so register its components; see :func:`import_guarded`."""
    for module in dict.fromkeys(module for module, _ in _exports(package).values()):
        import_guarded(f"{package}.{module}")


def import_component(package: str, name: str) -> None:
    """Import the module that a lazy package has a name from, which registers it; do nothing for other names."""
    exports = _exports(package)
    if name in exports:
        import_guarded(f"{package}.{exports[name][0]}")


def import_guarded(module: str) -> bool:
    """Import a module of ours, or warn once if the framework that it needs does not load.

    A failure is the framework's if the framework is absent, if it was raised while one of the framework's modules was
    being executed, or if a name is missing from a framework of an untried version. Anything else is raised.

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
    """The framework that failed while a module of ours was imported, or None if the mistake is ours."""
    traceback = error.__traceback__
    while traceback is not None:  # the outermost module of a framework that was being executed
        frame = traceback.tb_frame
        framework = _optional_framework(str(frame.f_globals.get("__name__")))
        if framework is not None and frame.f_code.co_name == "<module>":
            return framework
        traceback = traceback.tb_next
    framework = _optional_framework(error.name or "") if isinstance(error, ImportError) else None
    if framework is None or sys.modules.get(framework.package) is None:
        return framework  # not a framework's, or there is no such framework at all
    version = framework.version()  # we asked for a module or a name that the framework doesn't have
    return framework if version is None or not framework.serves(version) else None


def _optional_framework(module: str) -> Framework | None:
    """The framework that a module belongs to, without torch and mmengine, which everything needs."""
    package = module.split(".")[0]
    return next((each for each in FRAMEWORKS if each.package == package and package not in CORE), None)


def _warn_once(module: str, framework: Framework, error: Exception) -> None:
    from mmengine.logging import print_log

    level = logging.DEBUG if framework.package in _warned else logging.WARNING
    _warned.add(framework.package)
    print_log(
        f"{module} and whatever else of nda_mm needs {framework.distribution} is switched off: "
        f"{describe_error(error)}. The rest of nda_mm works. Remedy: {remedy_for(framework, error)}; "
        "`python -m nda_mm.compat` shows the state of every framework.",
        logger="current",
        level=level,
    )


@functools.cache
def _exports(package: str) -> dict[str, tuple[str, str]]:
    """For each name the module it comes from, and what it is called there; empty if the package is not a lazy one."""
    stub = Path(str(importlib.import_module(package).__file__)).with_suffix(".pyi")
    text = stub.read_text(encoding="utf-8") if stub.is_file() else ""
    return {name: (module, original) for module, original, name in _EXPORT.findall(text)}
