"""Backbones on their way from one host to another: what a checkpoint holds, what a model wants, proof that it fits.

:func:`convert_backbone` does it all; ``tools/convert_backbone.py`` is its command. :func:`require_carried` tells
whether a built model really bears a file's weights, whatever way it was told to load them.
"""

from __future__ import annotations

from .architecture import BackboneMismatchError, describe
from .convert import ConversionReport, convert_backbone
from .fit import require_carried, require_fit
from .formats import find_backbone

__all__ = [
    "BackboneMismatchError",
    "ConversionReport",
    "convert_backbone",
    "describe",
    "find_backbone",
    "require_carried",
    "require_fit",
]
