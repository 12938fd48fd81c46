"""The registered negatives: settings bound to functions, to be named in configs.

``dict(type='nda_mm.Jigsaw', grid=2)``, or ``dict(type='Jigsaw', grid=2)`` wherever this package asks for a negative.
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
