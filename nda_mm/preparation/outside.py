"""Verbs for anomaly detection: the outside sets of CIFAR-10's recipe."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nda_mm.utils.files import write_atomically

from ..datasets import DTD, SVHN, DatasetNotReadableError, Places365, TinyImageNet
from ..datasets.archives import Place
from ..datasets.decoding import is_image
from ..datasets.images.cifar10_c import CORRUPTIONS, cifar10_c_faults
from ..datasets.images.public_folders import KnownFolder
from .sources import named, take

__all__ = ["prepare_cifar10_c", "prepare_folder", "prepare_svhn"]

RECIPE = "ood_biggan_cifar10"
ONLY = "test_evaluator.metrics.0.only"
SVHN_COUNTS = {"train": 73_257, "test": 26_032}
CORRUPTED_COUNT = 50_000
CORRUPTED_LIMITS = {f"{name}.npy": CORRUPTED_COUNT * 32 * 32 * 3 + 4096 for name in CORRUPTIONS}  # with the header


@dataclass(frozen=True)
class FolderSet:
    """A published set of images in folders.

    Args:
        kind: Its reader, with whose defaults the recipe reads it.
        archive: What the set is given out as.
        count: Its number of images.
        holds: What its folder is known by.
        place: Where members of the archive belong.
    """

    kind: Callable[..., KnownFolder]
    archive: str
    count: int
    holds: tuple[str, ...]
    place: Place


def _place_tiny_imagenet(parts: tuple[str, ...]) -> PurePosixPath | None:
    if parts[-1] in ("wnids.txt", "words.txt"):
        return PurePosixPath(parts[-1])
    if "val" not in parts or not (is_image(parts[-1]) or parts[-1] == "val_annotations.txt"):
        return None
    return PurePosixPath(*parts[parts.index("val") :])


def _place_places365(parts: tuple[str, ...]) -> PurePosixPath | None:
    wanted = len(parts) > 1 and parts[-2] == "val_256" and is_image(parts[-1])
    return PurePosixPath("val_256", parts[-1]) if wanted else None


def _place_dtd(parts: tuple[str, ...]) -> PurePosixPath | None:
    wanted = len(parts) > 2 and parts[-3] == "images" and is_image(parts[-1])
    return PurePosixPath(*parts[-3:]) if wanted else None


def _place_cifar10_c(parts: tuple[str, ...]) -> PurePosixPath | None:
    name = PurePosixPath(parts[-1])
    return name if name.suffix == ".npy" and name.stem in (*CORRUPTIONS, "labels") else None


SETS = {
    "tiny_imagenet": FolderSet(
        TinyImageNet, "tiny-imagenet-200.zip", 10_000, ("wnids.txt", "val"),
        _place_tiny_imagenet,
    ),
    "places365": FolderSet(
        Places365, "val_256.tar", 36_500, ("val_256",), _place_places365
    ),
    "dtd": FolderSet(DTD, "dtd-r1.0.1.tar.gz", 5_640, ("images",), _place_dtd),
}  # fmt: skip


def prepare_svhn(args: argparse.Namespace) -> None:
    """Copy the files or link the folder, then read what is there of the two splits."""
    files = {split: f"{split}_32x32.mat" for split in SVHN_COUNTS}
    for source in args.sources:
        if source.is_dir():
            print(take(source, args.out, lambda parts: None, (files["test"],)))
        elif source.name not in files.values():
            raise ValueError(
                f"'{source}' is none of {', '.join(files.values())}, the cropped digits of SVHN (format 2)"
            )
        else:
            print(f"{source}: {_copy(source, args.out / source.name)}")
    bad, wrong = [], []
    for split, count in SVHN_COUNTS.items():
        if split == "train" and not (args.out / files[split]).exists():
            continue  # no recipe reads it
        try:
            found = len(SVHN(str(args.out), split))
        except DatasetNotReadableError as error:
            bad.append(str(error))
            continue
        print(f"{args.out / files[split]}: {found} images")
        if found != count:
            wrong.append(f"{split} was published with {count} images, but {found} are there")
    if bad:
        raise DatasetNotReadableError("\n".join(bad))
    if wrong and not args.allow_partial:
        raise ValueError(f"{'; '.join(wrong)} (--allow-partial accepts that)")
    _say_next("svhn", args.out, args.usual)


def prepare_folder(args: argparse.Namespace) -> None:
    """Unpack or link the source, then decode every image as the recipe reads it."""
    known = SETS[args.verb]
    if args.source is not None:
        print(take(args.source, args.out, known.place, known.holds))
    images = known.kind(str(args.out))  # which names every bad file, once, and goes on
    print(f"{args.out}: {len(images)} images, {images.resizing}")
    if len(images) != known.count and not args.allow_partial:
        raise ValueError(
            f"{images.title} was published with {known.count} images, of which {len(images)} can be read here. Fetch "
            f"{known.archive} again ({images.url}), remove what is damaged and run this with it, or accept what is "
            "there with --allow-partial"
        )
    _say_next(args.verb, args.out, args.usual)


def prepare_cifar10_c(args: argparse.Namespace) -> None:
    """Unpack or link the source, then look at every file."""
    if args.source is not None:
        print(take(args.source, args.out, _place_cifar10_c, ("labels.npy",), CORRUPTED_LIMITS))
    count, bad = cifar10_c_faults(args.out)
    good = len(CORRUPTIONS) - sum(name != "labels.npy" for name, _ in bad)
    print(f"{args.out}: {good} of {len(CORRUPTIONS)} corruptions, {count} images of each{named(bad, 'cannot be read')}")
    if bad and (not args.allow_partial or not good or not count):
        raise DatasetNotReadableError(
            f"CIFAR-10-C is not whole in '{args.out}'. Fetch CIFAR-10-C.tar from https://zenodo.org/records/2535967, "
            "remove what is damaged and run this with it"
            + ("" if not good or not count else "; --allow-partial accepts what is there")
        )
    if count != CORRUPTED_COUNT and not args.allow_partial:
        raise ValueError(
            f"CIFAR-10-C was published with {CORRUPTED_COUNT} images a file, not {count} (--allow-partial accepts that)"
        )
    if str(args.out) != args.usual:
        print(f"the recipe reads {args.usual}: link it to {args.out}")
    _say_next("cifar10_c", args.out, str(args.out))


def _copy(source: Path, target: Path) -> str:
    if target.is_file() and (source.samefile(target) or source.stat().st_size == target.stat().st_size):
        return f"is there as {target}"
    with source.open("rb") as content:
        write_atomically(target, lambda file: shutil.copyfileobj(content, file))
    return f"copied to {target}"


def _say_next(name: str, out: Path, usual: str) -> None:
    elsewhere = "" if str(out) == usual else f" test_evaluator.metrics.0.outside.{name}.data_root={out}"
    print(f"next: python tools/test.py {RECIPE} CKPT --cfg-options {ONLY}=\"['{name}']\"{elsewhere}")
