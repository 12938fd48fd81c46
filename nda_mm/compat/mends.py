"""The list of mends, and their application."""

from __future__ import annotations

import importlib.util
import sys

from .cpu_distributed import CPUDistributed
from .external_configs import ExternalConfigs
from .hugging_face import MMActionMultimodal, MMagicEditors, MMPretrainMultimodal
from .mend import Mend
from .mmaction_drn import MMActionDRN
from .mmcv_lite import MMCVLite
from .numpy_bool8 import NumpyBool8

#: Hosts that others import: all of them mmengine and mmcv, mmaction2 also mmpretrain.
BASES = ("mmengine", "mmcv", "mmpretrain")


def all_mends() -> tuple[Mend, ...]:
    """Every mend that this package knows, those of mmengine first.

    Two more faults need none: our training steps never call mmagic's code that overwrites the AMP loss scaler, and
    processes on a CPU are started by :func:`nda_mm.compat.start_process_group`.

    Returns:
        New instances; a mend has no state.
    """
    from .checked_load import CheckedLoad  # these import torch or mmengine
    from .collate_scope import CollateScope
    from .config_text import ConfigText
    from .mmagic_grid_sample import MMagicGridSample
    from .safe_globals import SafeGlobals
    from .separate_ddp import SeparateDDPNoSync

    ours = (SafeGlobals(), CheckedLoad(), SeparateDDPNoSync(), CPUDistributed(), CollateScope(), ConfigText())
    optional_parts = (MMagicEditors(), MMPretrainMultimodal(), MMActionMultimodal())
    return (*ours, ExternalConfigs(), MMCVLite(), NumpyBool8(), *optional_parts, MMagicGridSample(), MMActionDRN())


def apply_mends(*hosts: str) -> list[str]:
    """Apply the mends that are needed, and no others; safe to call again and again.

    Args:
        hosts: Import names of the hosts about to be used; the mends of ``BASES`` are always among them.
            Default: all hosts.

    Returns:
        Names of the mends that this call applied.

    Example:
        >>> _ = apply_mends()
        >>> apply_mends()
        []
    """
    if not _installed("mmengine"):
        return []
    applied = []
    for mend in all_mends():
        if hosts and mend.host not in (*BASES, *hosts):
            continue
        if mend.needed():
            mend.apply()
            applied.append(mend.name)
    return applied


def _installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None
