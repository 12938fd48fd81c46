"""Convert weights between frameworks, and check that they fit a model and were loaded.

:func:`convert_backbone` (``tools/convert_backbone.py``) converts backbones between frameworks.
:class:`PretrainedCheckHook` stops a run if the model does not hold the weights of its pretrained checkpoint.
:func:`import_official` (``tools/import_official.py``) turns networks of the paper's authors into a checkpoint of one of
our GANs. :func:`official_names` maps the names of their tensors, and so of their gradients, to ours.
"""

from __future__ import annotations

from .checks import require_carried, require_fit
from .convert import ConversionReport, convert_backbone
from .formats import find_backbone
from .official import ImportReport, OfficialMismatchError, convert_official, import_official, official_names
from .pretrained_check_hook import PretrainedCheckHook, VideoBackboneCheckHook
from .resnet import BackboneMismatchError, describe

__all__ = [
    "BackboneMismatchError",
    "ConversionReport",
    "ImportReport",
    "OfficialMismatchError",
    "PretrainedCheckHook",
    "VideoBackboneCheckHook",
    "convert_backbone",
    "convert_official",
    "describe",
    "find_backbone",
    "import_official",
    "official_names",
    "require_carried",
    "require_fit",
]
