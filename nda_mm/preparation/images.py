"""Verbs for images: CIFAR, CelebA, STL-10, ImageNet."""

from __future__ import annotations

import argparse
import shutil
import time
from functools import partial
from pathlib import Path, PurePosixPath

from ..datasets import CIFAR10, CIFAR100, STL10, CelebA
from ..datasets.decoding import is_image
from ..datasets.images.celeba_unpacking import take_celeba
from ..datasets.images.imagenet import prepare_imagenet
from ..datasets.images.stl10_unpacking import fetch_stl10, take_stl10
from .sources import take
from .verbs import SPLITS

__all__ = ["prepare_celeba", "prepare_cifar", "prepare_imagenet_lists", "prepare_stl10"]


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load what is there."""
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[args.verb]
    out = Path(args.out or f"data/{args.verb}")
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / kind.archive.filename)
            print(f"{source}: copied to {out}")
        else:
            print(take(source, out, partial(place_class_folders, split=args.split), SPLITS))
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        started = time.perf_counter()
        dataset = kind(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        seconds = time.perf_counter() - started
        classes = len(kind.METAINFO["classes"])
        print(f"{out}, {split}: {len(dataset)} images of {classes} classes, loaded in {seconds:.1f} s")


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
