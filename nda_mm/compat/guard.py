"""Importing a bridge so that a missing or broken host costs its own components and no others.

A registry imports all its ``locations`` at its first use, and one exception among them would make every component of
that registry unreachable. The bridges are therefore imported through :func:`import_guarded`, which tells a host's
failure, reported once and survived, from a mistake of our own, which is raised.
"""

from __future__ import annotations

import importlib
import logging
import sys

from nda_mm.utils.messages import describe_error

from .hosts import CORE, HOSTS, Host, remedy_for

_warned: set[str] = set()  # hosts whose failure this process has reported


def import_guarded(module: str) -> bool:
    """Import a bridge module, or say once why its host keeps it from being imported.

    A failure is the host's if the host is absent, if it was raised while one of the host's own modules was being
    executed, or if a name is missing from a host of an untried version. Whatever else goes wrong is our mistake, and is
    raised.

    Args:
        module: Full name of the bridge, for example ``"nda_mm.models.gans.conditional"``.

    Returns:
        Whether the module was imported and its components are registered.

    Raises:
        Exception: Whatever the bridge itself raises while its host is sound.

    Example:
        >>> import_guarded("nda_mm.compat.hosts")
        True
    """
    try:
        importlib.import_module(module)
    except Exception as error:  # hosts fail in many ways: AssertionError on versions, AttributeError, OSError ...
        host = blamed_host(error)
        if host is None:
            raise
        _warn_once(module, host, error)
        return False
    return True


def blamed_host(error: Exception) -> Host | None:
    """The host that an exception met while importing a bridge comes from, or None where the mistake is ours."""
    traceback = error.__traceback__
    while traceback is not None:  # the outermost module of a host that was being executed
        frame = traceback.tb_frame
        host = _bridged(str(frame.f_globals.get("__name__")))
        if host is not None and frame.f_code.co_name == "<module>":
            return host
        traceback = traceback.tb_next
    host = _bridged(error.name or "") if isinstance(error, ImportError) else None
    if host is None or sys.modules.get(host.package) is None:
        return host  # not a host's, or there is no such host at all
    version = host.version()  # our bridge asked the host for a module or a name that it doesn't have
    return host if version is None or not host.serves(version) else None


def _bridged(module: str) -> Host | None:
    """The host that a module belongs to; torch and mmengine, which everything needs, are not among them."""
    package = module.split(".")[0]
    return next((host for host in HOSTS if host.package == package and package not in CORE), None)


def _warn_once(module: str, host: Host, error: Exception) -> None:
    from mmengine.logging import print_log

    level = logging.DEBUG if host.package in _warned else logging.WARNING
    _warned.add(host.package)
    print_log(
        f"{module} and whatever else of nda_mm needs {host.distribution} is switched off: {describe_error(error)}. "
        f"The rest of nda_mm works. Remedy: {remedy_for(host, error)}; "
        "`python -m nda_mm.compat` shows the state of every host.",
        logger="current",
        level=level,
    )
