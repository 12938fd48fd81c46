"""List all patches, and apply those that are needed."""

from __future__ import annotations

from .patch import Patch, installed_file

#: Frameworks that other frameworks import: all import mmengine and mmcv, and mmaction2 also imports mmpretrain.
BASES = ("mmengine", "mmcv", "mmpretrain")


def all_patches() -> tuple[Patch, ...]:
    """Return all patches of this package, those of mmengine first.

    One known fault needs no patch: mmagic's code that overwrites the AMP loss scaler is never called by our training
    steps.
    """
    from . import mmagic, mmcv, mmengine, placeholders, safe_load  # some of these import torch

    return (
        safe_load.SafeGlobals(),
        safe_load.CheckedLoad(),
        mmengine.SeparateDDPNoSync(),
        mmengine.CPUDistributed(),
        mmengine.CollateScope(),
        mmengine.ConfigText(),
        mmengine.ExternalConfigs(),
        mmcv.MMCVLite(),
        mmagic.DeferredImports(),
        mmagic.NumpyBool8(),
        placeholders.MMagicEditors(),
        placeholders.MMPretrainMultimodal(),
        placeholders.MMActionMultimodal(),
        mmagic.MMagicGridSample(),
        placeholders.MMActionDRN(),
    )


def apply_patches(*frameworks: str) -> list[str]:
    """Apply only the patches that are needed. Calling it again is safe.

    Args:
        frameworks: Import names of the frameworks about to be used. The patches of ``BASES`` are always included.
            Defaults to all frameworks.

    Returns:
        Names of the patches that this call applied.

    Example:
        >>> _ = apply_patches()
        >>> apply_patches()
        []
    """
    if installed_file("mmengine", "__init__.py") is None:
        return []
    applied = []
    for patch in all_patches():
        if (not frameworks or patch.framework in (*BASES, *frameworks)) and patch.needed():
            patch.apply()
            applied.append(patch.name)
    return applied
