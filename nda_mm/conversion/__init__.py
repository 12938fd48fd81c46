"""Weights on their way from one code to another: what a checkpoint holds, what a model wants, proof that it fits.

:func:`convert_backbone` takes backbones from host to host; ``tools/convert_backbone.py`` is its command.
:func:`require_carried` tells whether a built model really bears a file's weights, whatever way it was told to load
them. :func:`import_official` (``tools/import_official.py``) makes a GAN of ours of the paper authors' networks, whose
tensors, gradients among them, go by :func:`official_names`.
"""

from __future__ import annotations

from .architecture import BackboneMismatchError, describe
from .convert import ConversionReport, convert_backbone
from .fit import require_carried, require_fit
from .formats import find_backbone
from .import_official import ImportReport, import_official
from .official_biggan import OfficialMismatchError, convert_official, official_names

__all__ = [
    "BackboneMismatchError",
    "ConversionReport",
    "ImportReport",
    "OfficialMismatchError",
    "convert_backbone",
    "convert_official",
    "describe",
    "find_backbone",
    "import_official",
    "official_names",
    "require_carried",
    "require_fit",
]
