"""Verbs for detection: blood cells, and scenes of digits."""

from __future__ import annotations

import argparse

from ..datasets.boxes.bccd import check_bccd, place_voc, refuse_unusable
from ..datasets.toy.digits_scenes import SceneSettings, make_digits_scenes
from .sources import take

__all__ = ["prepare_bccd", "prepare_digits_scenes"]


def prepare_bccd(args: argparse.Namespace) -> None:
    """Unpack the zip, look at everything in it and say what was found."""
    if args.source:
        print(take(args.source, args.out, place_voc, ("Annotations", "JPEGImages", "ImageSets")))
    checks = check_bccd(args.out)
    print("\n".join(f"{args.out}, {check}" for check in checks))
    refuse_unusable(checks)


def prepare_digits_scenes(args: argparse.Namespace) -> None:
    """Write the scenes, unless they are there."""
    written = make_digits_scenes(args.out, SceneSettings(seed=args.seed))
    print(f"{args.out}: the scenes {'were written' if written else 'are there'}")
