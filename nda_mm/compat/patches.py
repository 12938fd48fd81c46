"""The list of all patches, and their application."""

from __future__ import annotations

from .patch import Patch, installed_file

#: Frameworks that others import: all of them mmengine and mmcv, mmaction2 also mmpretrain.
BASES = ("mmengine", "mmcv", "mmpretrain")


def all_patches() -> tuple[Patch, ...]:
    """Return every patch that this package knows, those of mmengine first.

    One more fault needs none: our training steps never call mmagic's code that overwrites the AMP loss scaler.
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
    """Apply the patches that are needed, and no others; safe to call again.

    Args:
        frameworks: Import names of the frameworks about to be used; the patches of ``BASES`` are always applied.
            Default: all frameworks.

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
