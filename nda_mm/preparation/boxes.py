"""Verbs for detection: blood cells, and scenes of digits."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..datasets.boxes.bccd import check_bccd, place_voc, refuse_unusable
from ..datasets.embedded.digits_scenes import SceneSettings, make_digits_scenes
from .sources import take

__all__ = ["add_verbs"]


def add_verbs(verbs: Any) -> None:
    """Add ``bccd`` and ``digits_scenes`` to the subparsers of a command."""
    sub = verbs.add_parser("bccd", help="BCCD, cells in photographs of blood, from a zip in PASCAL VOC's layout")
    sub.add_argument(
        "source", nargs="?", type=Path, help="the zip, or a folder of it; without it, what --out holds is checked again"
    )
    sub.add_argument(
        "--out", type=Path, default=Path("data/bccd"), help="where the recipes look for it; default: data/bccd"
    )
    sub.set_defaults(run=prepare_bccd)
    sub = verbs.add_parser("digits_scenes", help="scenes of scikit-learn's digits, with boxes in COCO's format")
    sub.add_argument("--out", default="data/digits_scenes", help="default: data/digits_scenes, as in the recipe")
    sub.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    sub.set_defaults(run=prepare_digits_scenes)


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
