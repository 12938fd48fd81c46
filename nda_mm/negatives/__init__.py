"""The registered negatives: settings bound to functions, to be named in configs.

``dict(type='nda_mm.Jigsaw', grid=2)``, or ``dict(type='Jigsaw', grid=2)`` wherever this package asks for a negative.
"""

from .base import Negative, build_negative
from .basic import CutMix, Cutout, Jigsaw, Mixup, Rotate, Shift, ShuffleFrames, Stitch
from .curriculum import Curriculum
from .foreign import ForeignImage, ForeignStitch
from .identity_leak import IdentityLeak
from .random_negative import RandomNegative
from .turn_points import TurnPoints

__all__ = [
    "Curriculum",
    "CutMix",
    "Cutout",
    "ForeignImage",
    "ForeignStitch",
    "IdentityLeak",
    "Jigsaw",
    "Mixup",
    "Negative",
    "RandomNegative",
    "Rotate",
    "Shift",
    "ShuffleFrames",
    "Stitch",
    "TurnPoints",
    "build_negative",
]
