"""Importing a bridge so that a missing or broken host costs its own components and no others.

A registry imports all its ``locations`` at its first use, and one exception among them would make every component of
that registry unreachable. The bridges are therefore imported through :func:`import_guarded`, which tells a host's
failure, reported once and survived, from a mistake of our own, which is raised.
"""

from __future__ import annotations

import importlib
import logging
import sys
from types import TracebackType

from .hosts import Host, find_host, remedy_for
from .mends import apply_mends

_warned: set[str] = set()  # hosts whose failure this process has reported


def import_guarded(module: str, host: str) -> bool:
    """Import a bridge module, or say once why its host keeps it from being imported.

    The mends that the host needs are applied first. A failure is the host's if the host is absent, if it was raised
    while one of the host's own modules was being executed, or if a name is missing from a host of an untried version.
    Whatever else goes wrong is our mistake, and is raised.

    Args:
        module: Full name of the bridge, for example ``"nda_mm.models.gan"``.
        host: The one host that it needs, by import name or distribution name.

    Returns:
        Whether the module was imported and its components are registered.

    Raises:
        Exception: Whatever the bridge itself raises while its host is sound.
        ValueError: If the host is unknown.

    Example:
        >>> import_guarded("nda_mm.compat.hosts", host="mmengine")
        True
    """
    known = find_host(host)
    apply_mends(known.package)
    try:
        importlib.import_module(module)
    except Exception as error:  # hosts fail in many ways: AssertionError on versions, AttributeError, OSError ...
        if not _is_hosts_fault(error, known):
            raise
        _warn_once(module, known, error)
        return False
    return True


def _is_hosts_fault(error: Exception, host: Host) -> bool:
    """Whether an exception met while importing a bridge comes from its host."""
    if _raised_inside(error.__traceback__, host.package):
        return True
    if not isinstance(error, ImportError) or (error.name or "").split(".")[0] != host.package:
        return False
    # Our bridge asked the host for a module or a name that it doesn't have.
    if sys.modules.get(host.package) is None:
        return True  # there is no host at all
    version = host.version()
    return version is None or not host.serves(version)


def _raised_inside(traceback: TracebackType | None, package: str) -> bool:
    """Whether the traceback passes through the execution of one of a package's modules."""
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_code.co_name == "<module>" and str(frame.f_globals.get("__name__")).split(".")[0] == package:
            return True
        traceback = traceback.tb_next
    return False


def _warn_once(module: str, host: Host, error: Exception) -> None:
    from mmengine.logging import print_log

    level = logging.DEBUG if host.package in _warned else logging.WARNING
    _warned.add(host.package)
    print_log(
        f"{module} and whatever else of nda_mm needs {host.distribution} is switched off: {describe(error)}. "
        f"The rest of nda_mm works. Remedy: {remedy_for(host, error)}; "
        "`python -m nda_mm.compat` shows the state of every host.",
        logger="current",
        level=level,
    )


def describe(error: BaseException) -> str:
    """An exception as one line: its class and the first line of its message.

    Args:
        error: The exception.

    Returns:
        For example ``"ModuleNotFoundError: No module named 'mmagic'"``.

    Example:
        >>> describe(ValueError("first line\\nsecond line"))
        'ValueError: first line'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
