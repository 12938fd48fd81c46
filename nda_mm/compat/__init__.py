"""Patches for faults in the frameworks, and the framework versions that are supported.

A patch probes for its fault, so it is no longer applied once the framework is fixed. ``python -m nda_mm.compat``
reports which frameworks load and why the others don't. Importing :mod:`nda_mm.compat.auto` applies all patches.
"""

from __future__ import annotations

from nda_mm.utils.processes import start_process_group

from .frameworks import FRAMEWORKS, Framework, find_framework, say_loading
from .lazy import import_guarded
from .patch import Patch
from .patches import all_patches, apply_patches

__all__ = [
    "FRAMEWORKS",
    "Framework",
    "Patch",
    "all_patches",
    "allow_safe_globals",
    "apply_mends",
    "apply_patches",
    "find_framework",
    "import_guarded",
    "say_loading",
    "start_process_group",
]

#: The former name of :func:`apply_patches`, kept for one version.
apply_mends = apply_patches


def allow_safe_globals() -> None:
    """Let ``torch.load(..., weights_only=True)`` read mmengine's checkpoints; see :mod:`nda_mm.compat.safe_load`.

    Example:
        >>> allow_safe_globals()
    """
    from . import safe_load  # imported here because it imports torch

    safe_load.allow_safe_globals()
