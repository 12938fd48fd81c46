"""Verbs for image translation: pairs of facades, and of Cityscapes."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..datasets.decoding import image_files, is_image
from ..datasets.images.pair_files import pair_faults
from ..datasets.images.pairs import build_cityscapes_pairs, is_cityscapes
from ..utils.files import printable
from .sources import named, take

__all__ = ["prepare_pairs"]


@dataclass(frozen=True)
class PairSet:
    """A published set of pairs.

    Args:
        counts: Number of pairs in each folder.
        read: The folders that the recipes read.
        recipes: Their names.
        source: How the data can be had.
    """

    counts: dict[str, int]
    read: tuple[str, ...]
    recipes: tuple[str, ...]
    source: str


SETS = {
    "facades": PairSet(
        counts={"train": 400, "val": 100, "test": 106},
        read=("train", "test"),
        recipes=("pix2pix_facades",),
        source="facades.tar.gz, from the authors of Pix2Pix (phillipi.github.io/pix2pix)",
    ),
    "cityscapes": PairSet(
        counts={"train": 2975, "val": 500},
        read=("train", "val"),
        recipes=("pix2pix_cityscapes_labels2photo", "pix2pix_cityscapes_photo2labels"),
        source="cityscapes.tar.gz, from the authors of Pix2Pix (phillipi.github.io/pix2pix), or leftImg8bit_trainval"
        "test.zip and gtFine_trainvaltest.zip (https://www.cityscapes-dataset.com), of which the pairs are made",
    ),
}


def prepare_pairs(args: argparse.Namespace) -> None:
    """Unpack, make or link the pairs, then look at every one."""
    pairs, usual = SETS[args.verb], Path("data/pix2pix") / args.verb
    out = args.out or usual
    raw = [source for source in args.sources if args.verb == "cityscapes" and is_cityscapes(source)]
    for source in args.sources:
        if source not in raw:
            print(take(source, out, _place, pairs.read))
    if raw:
        built = build_cityscapes_pairs(raw, out, workers=args.workers)
        print(f"{out}: pairs of {built.counts}{named(built.bad, 'cannot be made a pair')}")
    usable = {split: _look_at(out / split) for split in pairs.counts}
    if not all(usable[split] for split in pairs.read):
        raise FileNotFoundError(
            f"'{out}' holds no usable pairs in {' and '.join(pairs.read)}, which the recipes read. Get {pairs.source}"
        )
    missing = {split: count - usable[split] for split, count in pairs.counts.items() if usable[split] != count}
    if missing and not args.allow_partial:
        told = ", ".join(f"{usable[split]} of {pairs.counts[split]} in {split}" for split in missing)
        raise ValueError(
            f"{args.verb} was published with other numbers of pairs: usable are {told}. Fetch what is missing or bad "
            "again, or accept it with --allow-partial"
        )
    elsewhere = (
        ""
        if out == usual
        else " --cfg-options"
        + "".join(f" {loader}_dataloader.dataset.data_root={out}" for loader in ("train", "val", "test"))
    )
    commands = (f"python tools/train.py {name}{elsewhere}" for name in pairs.recipes)
    print("next: " + "\n  or: ".join(commands))


def _place(parts: tuple[str, ...]) -> PurePosixPath | None:
    wanted = len(parts) > 1 and parts[-2] in ("train", "val", "test") and is_image(parts[-1])
    return PurePosixPath(*parts[-2:]) if wanted else None


def _look_at(folder: Path) -> int:
    """Print what a folder holds; the number of usable pairs."""
    files = image_files(folder) if folder.is_dir() else []
    faults = pair_faults(files, squares=True)
    bad = [(printable(file.relative_to(folder)), fault) for file, fault in zip(files, faults, strict=True) if fault]
    usable = len(files) - len(bad)
    print(f"{folder}: {usable} pairs{named(bad, 'no pair; remove or fetch again')}")
    return usable
