"""Verbs for images: CIFAR, CelebA, STL-10, ImageNet."""

from __future__ import annotations

import argparse
import os
import shutil
import time
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..datasets import CIFAR10, CIFAR100, STL10, CelebA
from ..datasets.files.decoding import is_image
from ..datasets.images.celeba import CROPS
from ..datasets.images.celeba_unpacking import take_celeba
from ..datasets.images.imagenet_lists import prepare_imagenet
from ..datasets.images.stl10_unpacking import fetch_stl10, take_stl10
from .sources import take

__all__ = ["add_verbs"]

SPLITS = ("train", "test")


def add_verbs(verbs: Any) -> None:
    """Add ``cifar10``, ``cifar100``, ``celeba``, ``stl10`` and ``imagenet`` to the subparsers of a command."""
    for verb, dataset in {"cifar10": CIFAR10, "cifar100": CIFAR100}.items():
        sub = verbs.add_parser(verb, help=f"{dataset.title} from its archive, zips of class folders, or the internet")
        sub.add_argument("sources", nargs="*", type=Path, help="official .tar.gz, or zips of [SPLIT/]CLASS/*.png")
        sub.add_argument("--out", help=f"where the recipes look for it; default: data/{verb}")
        sub.add_argument("--split", choices=SPLITS, help="what a zip without a split level holds")
        sub.add_argument("--download", action="store_true", help="fetch the official archive if nothing is there")
        sub.add_argument("--allow-partial", action="store_true", help="accept other than the official number of images")
        sub.set_defaults(run=prepare_cifar, dataset=dataset)
    sub = verbs.add_parser("celeba", help="CelebA's aligned faces from its zip, or from a folder that has them")
    sub.add_argument("sources", nargs="*", type=Path, help="img_align_celeba.zip, list_eval_partition.txt, or a folder")
    sub.add_argument("--out", type=Path, default=Path("data/celeba"), help="default: data/celeba, as in the recipe")
    sub.add_argument("--size", type=int, default=64, help="side that the faces are decoded to; default: 64")
    sub.add_argument(
        "--crop", type=int, choices=CROPS, default=178, help="square cut out; default: 178, the whole width"
    )
    sub.add_argument("--allow-partial", action="store_true", help="accept that images are missing")
    sub.set_defaults(run=prepare_celeba)
    sub = verbs.add_parser("stl10", help="STL-10 from its archive or folder, or the internet")
    sub.add_argument("source", nargs="?", type=Path, help="stl10_binary.tar.gz, or the folder that it unpacks to")
    sub.add_argument("--out", type=Path, default=Path("data/stl10"), help="default: data/stl10, as in the recipe")
    sub.add_argument("--download", action="store_true", help="fetch the official archive, 2.6 GB")
    sub.add_argument("--allow-partial", action="store_true", help="accept other than the official number of images")
    sub.set_defaults(run=prepare_stl10)
    sub = verbs.add_parser("imagenet", help="lists of ImageNet's images that can be read, and a link to them")
    sub.add_argument("folder", type=Path, help="holds train/ and val/, with one folder of images for each class")
    sub.add_argument("--out", type=Path, default=Path("data/imagenet"), help="default: data/imagenet, as in the recipe")
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads; default: one a core")
    sub.add_argument("--allow-partial", action="store_true", help="accept other than 1,000 classes")
    sub.set_defaults(run=prepare_imagenet_lists)


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load what is there."""
    out = Path(args.out or f"data/{args.verb}")
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / args.dataset.archive.filename)
            print(f"{source}: copied to {out}")
        else:
            print(take(source, out, partial(place_class_folders, split=args.split), SPLITS))
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        started = time.perf_counter()
        dataset = args.dataset(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        seconds = time.perf_counter() - started
        print(f"{out}, {split}: {len(dataset)} images of {len(dataset.CLASSES)} classes, loaded in {seconds:.1f} s")


def place_class_folders(parts: tuple[str, ...], split: str | None = None) -> PurePosixPath | None:
    """Where an image of class folders belongs, whatever folders they are wrapped in.

    Args:
        parts: Of the member's name: ``.../SPLIT/CLASS/IMAGE``.
        split: 'train' or 'test' if there is no such level.

    Example:
        >>> place_class_folders(("cifar10", "test", "cat", "0.png")), place_class_folders(("cat", "0.png"), "train")
        (PurePosixPath('test/cat/0.png'), PurePosixPath('train/cat/0.png'))
    """
    if len(parts) < (2 if split else 3) or not is_image(parts[-1]):
        return None
    name = split or parts[-3]
    return PurePosixPath(name, *parts[-2:]) if name in SPLITS else None


def prepare_celeba(args: argparse.Namespace) -> None:
    """Unpack, copy or link the sources, then decode every face as the recipe reads it."""
    for source in args.sources:
        print(take_celeba(source, args.out))
    for split in ("train", "val", "test"):
        dataset = CelebA(
            str(args.out), split, size=args.size, crop=args.crop, allow_partial=args.allow_partial, max_bad=1.0
        )
        print(f"{args.out}, {split}: {len(dataset)} images, {args.crop} pixels of each scaled to {args.size}")


def prepare_stl10(args: argparse.Namespace) -> None:
    """Unpack or link the source, then read every part."""
    source = fetch_stl10(args.out) if args.download and args.source is None else args.source
    if source is not None:
        print(take_stl10(source, args.out))
    for split in ("train", "test", "unlabeled"):
        dataset = STL10(str(args.out), split, size=16, allow_partial=args.allow_partial)
        print(f"{args.out}, {split}: {len(dataset)} images")


def prepare_imagenet_lists(args: argparse.Namespace) -> None:
    """Link the folder, look at every image and write the lists."""

    def progress(split: str, done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"{split}: {done} of {total} classes looked at", flush=True)

    settings = dict(allow_partial=args.allow_partial, workers=args.workers, progress=progress)
    print("\n".join(prepare_imagenet(args.folder, args.out, **settings).lines()))
