"""Registered negatives for use in configs: functions of :mod:`nda_mm.functional` with their settings.

Write ``dict(type='nda_mm.Jigsaw', grid=2)``, or ``dict(type='Jigsaw', grid=2)`` wherever this package expects a
negative.
"""

from .base import Negative, build_negative
from .basic import CutMix, Cutout, Jigsaw, Mixup, Patches, Rotate, Shift, ShuffleFrames, Stitch, TileMix, TurnPoints
from .combined import Curriculum, IdentityLeak, RandomNegative
from .external import ExternalImage, ExternalStitch

__all__ = [
    "Curriculum",
    "CutMix",
    "Cutout",
    "ExternalImage",
    "ExternalStitch",
    "IdentityLeak",
    "Jigsaw",
    "Mixup",
    "Negative",
    "Patches",
    "RandomNegative",
    "Rotate",
    "Shift",
    "ShuffleFrames",
    "Stitch",
    "TileMix",
    "TurnPoints",
    "build_negative",
]
