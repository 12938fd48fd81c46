"""The one room for the faults of the hosts: which versions serve, and what is mended in them.

Each mend is a class of its own with a reason and version bounds. It probes the fault itself, so it falls away by itself
once the host is repaired. ``python -m nda_mm.compat`` reports which hosts load, and why the others don't; importing
:mod:`nda_mm.compat.auto` applies all of them.
"""

from __future__ import annotations

from nda_mm.utils.processes import start_process_group

from .guard import import_guarded
from .hosts import HOSTS, Host, find_host
from .mend import Mend
from .mends import all_mends, apply_mends

__all__ = [
    "HOSTS",
    "Host",
    "Mend",
    "all_mends",
    "allow_safe_globals",
    "apply_mends",
    "find_host",
    "import_guarded",
    "start_process_group",
]


def allow_safe_globals() -> None:
    """Let ``torch.load(..., weights_only=True)`` read mmengine's checkpoints; idempotent.

    Imported late, since it needs torch and mmengine; see :mod:`nda_mm.compat.safe_globals`.

    Example:
        >>> allow_safe_globals()
    """
    from . import safe_globals

    safe_globals.allow_safe_globals()
