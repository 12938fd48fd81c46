"""Weights on their way from one code to another: what a checkpoint holds, what a model needs, whether it arrived.

:func:`convert_backbone` takes backbones from framework to framework; ``tools/convert_backbone.py`` is its command.
:class:`PretrainedCheckHook` stops a run whose model does not hold the weights of its pretrained file.
:func:`import_official` (``tools/import_official.py``) turns the paper authors' networks into a GAN of ours, whose
tensors, gradients among them, go by :func:`official_names`.
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
