"""Verbs for small images that travel: class folders to sheets, and back."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..datasets.files.image_sheets import PER_SHEET, unpack_sheets, write_sheets

__all__ = ["add_verbs"]


def add_verbs(verbs: Any) -> None:
    """Add ``pack_sheets`` and ``unpack_sheets`` to the subparsers of a command."""
    sub = verbs.add_parser("pack_sheets", help="class folders of small images to sheets, lossless and smaller")
    sub.add_argument("sources", nargs="+", type=Path, help="zips or folders of SPLIT/CLASS/*.png, of one size")
    sub.add_argument("--out", required=True, type=Path, help="folder for the sheets")
    sub.add_argument("--per-sheet", type=int, default=PER_SHEET, help=f"images on a sheet; default: {PER_SHEET}")
    sub.set_defaults(run=pack)
    sub = verbs.add_parser("unpack_sheets", help="sheets back to class folders, every pixel compared")
    sub.add_argument("folders", nargs="+", type=Path, help="parts of one set of sheets")
    sub.add_argument("--out", required=True, type=Path, help="where the recipes look for it, such as data/cifar10")
    sub.set_defaults(run=unpack)


def pack(args: argparse.Namespace) -> None:
    """Write the sheets and say how large they are."""
    sheets = write_sheets(args.sources, args.out, per_sheet=args.per_sheet)
    size = sum((args.out / sheet.file).stat().st_size for sheet in sheets)
    print(f"{args.out}: {sum(sheet.count for sheet in sheets)} images on {len(sheets)} sheets, {size / 1e6:.1f} MB")


def unpack(args: argparse.Namespace) -> int:
    """Fill the class folders with what is there, and say what is not; the status is 3 until all is there."""
    done, missing = unpack_sheets(args.folders, args.out)
    print(f"{args.out}: {done} images in class folders")
    if not missing:
        return 0
    print(f"{len(missing)} sheets are still to come, the first of them {missing[0]}")
    return 3
