"""Commands for images: CIFAR, CelebA, STL-10, ImageNet, pairs, and the OOD data sets of CIFAR-10's recipe."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import CIFAR10, CIFAR100, DTD, STL10, SVHN, CelebA, DatasetNotReadableError, Places365, TinyImageNet
from ..datasets.archives import Place, layout, unpack
from ..datasets.decoding import image_files
from ..datasets.images.celeba import take_celeba
from ..datasets.images.imagenet import prepare_imagenet
from ..datasets.images.ood_sets import CIFAR10C, CORRUPTIONS, SEVERITIES, URL
from ..datasets.images.pairs import build_cityscapes_pairs, is_cityscapes, pair_faults
from ..datasets.report import list_bad_files
from ..utils.files import link_folder, printable, write_atomically
from .verbs import SPLITS


def take(source: Path, out: Path, place: Place, holds: Sequence[str]) -> str:
    """Unpack an archive to ``out``, or link ``out`` to a folder that holds the data already.

    Args:
        source: A zip or tar file, or a folder: the one that holds ``holds``, one of those, or the folder above.
        out: Where the recipes look.
        place: Where each member of an archive belongs, see :func:`nda_mm.datasets.archives.unpack`.
        holds: Names of the folders or files by which the data are known.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: If there is no such file or folder, or it holds nothing of the data.
        FileExistsError: If ``out`` is something else.
        ValueError: If the archive is damaged or another.
    """
    if not source.is_dir():
        return f"{source}: {unpack(source, out, place)} files in {out}"
    near = [source, *([source.parent] if source.name in holds else []), *sorted(source.iterdir())]
    folder = next((place for place in near if all((place / name).exists() for name in holds)), None)
    if folder is None:
        raise FileNotFoundError(f"neither '{source}' nor a folder in it holds {' and '.join(holds)}")
    link_folder(folder, out)
    return f"{folder}: is read as {out}"


def _copy(source: Path, target: Path) -> str:
    if target.is_file() and (source.samefile(target) or source.stat().st_size == target.stat().st_size):
        return f"{source}: is there as {target}"
    with source.open("rb") as content:
        write_atomically(target, lambda file: shutil.copyfileobj(content, file))
    return f"{source}: copied to {target}"


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load what is there."""
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[args.verb]
    out = args.out
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            print(_copy(source, out / kind.published().filename))
        elif source.is_dir() or not args.split:
            print(take(source, out, layout(*(f"{split}/*/*" for split in SPLITS)), SPLITS))
        else:
            print(take(source, out / args.split, layout("*/*"), ()))
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        dataset = kind(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        print(f"{out}, {split}: {len(dataset)} images of {len(kind.METAINFO['classes'])} classes")


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
    source, published = args.source, STL10.published()
    if source is None and args.download:
        source = args.out / published.filename
        STL10.download_archive(source)
    if source is not None:
        listed = [name for name, _ in published.train_list + published.test_list]
        print(take(source, args.out / published.base_folder, layout(*listed), ("train_X.bin",)))
    for split in ("train", "test", "unlabeled"):
        dataset = STL10(str(args.out), split, size=16, allow_partial=args.allow_partial)
        print(f"{args.out}, {split}: {len(dataset)} images")


def prepare_imagenet_lists(args: argparse.Namespace) -> None:
    """Link the folder, decode every image and write the lists."""
    report = prepare_imagenet(args.folder, args.out, allow_partial=args.allow_partial, workers=args.workers)
    print("\n".join(report.lines()))


@dataclass(frozen=True)
class PairSet:
    """A published set: its number of pairs in each folder, the folders and recipes that read it, and its source."""

    counts: dict[str, int]
    read: tuple[str, ...]
    recipes: tuple[str, ...]
    source: str


PAIR_SETS = {
    "facades": PairSet(
        counts={"train": 400, "val": 100, "test": 106},
        read=("train", "test"),
        recipes=("pix2pix_facades",),
        source="facades.tar.gz (phillipi.github.io/pix2pix)",
    ),
    "cityscapes": PairSet(
        counts={"train": 2975, "val": 500},
        read=("train", "val"),
        recipes=("pix2pix_cityscapes_labels2photo", "pix2pix_cityscapes_photo2labels"),
        source="cityscapes.tar.gz (phillipi.github.io/pix2pix), or leftImg8bit_trainvaltest.zip and "
        "gtFine_trainvaltest.zip (https://www.cityscapes-dataset.com)",
    ),
}


def prepare_pairs(args: argparse.Namespace) -> None:
    """Unpack, make or link the pairs, then decode every one."""
    pairs, out = PAIR_SETS[args.verb], args.out
    raw = [source for source in args.sources if args.verb == "cityscapes" and is_cityscapes(source)]
    for source in args.sources:
        if source not in raw:
            print(take(source, out, layout("train/*", "val/*", "test/*"), pairs.read))
    if raw:
        built = build_cityscapes_pairs(raw, out, workers=args.workers)
        print(f"{out}: pairs of {built.counts}{list_bad_files(built.bad, 'cannot be made a pair')}")
    usable = {split: _count_pairs(out / split) for split in pairs.counts}
    if not all(usable[split] for split in pairs.read):
        raise FileNotFoundError(
            f"'{out}' holds no usable pairs in {' and '.join(pairs.read)}, which the recipes read. Get {pairs.source}"
        )
    wrong = [split for split, count in pairs.counts.items() if usable[split] != count]
    if wrong and not args.allow_partial:
        listed = ", ".join(f"{usable[split]} of {pairs.counts[split]} in {split}" for split in wrong)
        raise ValueError(
            f"{args.verb} is incomplete: usable are {listed}. Download it again, or accept it with --allow-partial"
        )
    options = "".join(f" {loader}_dataloader.dataset.data_root={out}" for loader in ("train", "val", "test"))
    elsewhere = "" if str(out) == args.usual else f" --cfg-options{options}"
    print("next: " + "\n  or: ".join(f"python tools/train.py {name}{elsewhere}" for name in pairs.recipes))


def _count_pairs(folder: Path) -> int:
    """Print what a folder holds; the number of usable pairs."""
    files = image_files(folder) if folder.is_dir() else []
    faults = pair_faults(files, squares=True)
    bad = [(printable(file.relative_to(folder)), fault) for file, fault in zip(files, faults, strict=True) if fault]
    usable = len(files) - len(bad)
    print(f"{folder}: {usable} pairs{list_bad_files(bad, 'no pair; remove or download again')}")
    return usable


RECIPE = "ood_biggan_cifar10"
SVHN_FILES = {split: f"{split}_32x32.mat" for split in ("train", "test")}
CORRUPTED_COUNT = 50_000


def prepare_svhn(args: argparse.Namespace) -> None:
    """Copy the files or link the folder, then read the two splits; no recipe needs the training split."""
    for source in args.sources:
        if source.is_dir():
            print(take(source, args.out, lambda parts: None, (SVHN_FILES["test"],)))
        elif source.name in SVHN_FILES.values():
            print(_copy(source, args.out / source.name))
        else:
            raise ValueError(
                f"'{source}' is none of {', '.join(SVHN_FILES.values())}, SVHN's cropped digits (format 2)"
            )
    for split, name in SVHN_FILES.items():
        if split == "test" or (args.out / name).exists():
            print(f"{args.out / name}: {len(SVHN(str(args.out), split))} images")
    _print_next("svhn", args.out, args.usual)


@dataclass(frozen=True)
class FolderSet:
    """A published set of images in folders; ``holds`` are names in its folder, ``layout`` is that of its files."""

    kind: Callable[..., Any]
    archive: str
    count: int
    holds: tuple[str, ...]
    layout: tuple[str, ...]


FOLDER_SETS = {
    "tiny_imagenet": FolderSet(
        TinyImageNet,
        archive="tiny-imagenet-200.zip",
        count=10_000,
        holds=("wnids.txt", "val"),
        layout=("wnids.txt", "words.txt", "val/val_annotations.txt", "val/*/images/*", "val/*/*"),
    ),
    "places365": FolderSet(Places365, "val_256.tar", 36_500, ("val_256",), ("val_256/*",)),
    "dtd": FolderSet(DTD, "dtd-r1.0.1.tar.gz", 5_640, ("images",), ("images/*/*",)),
}


def prepare_folder(args: argparse.Namespace) -> None:
    """Unpack or link the source, then decode every image as the recipe reads it."""
    known = FOLDER_SETS[args.verb]
    if args.source is not None:
        print(take(args.source, args.out, layout(*known.layout), known.holds))
    images = known.kind(str(args.out))  # which reports every bad file
    print(f"{args.out}: {len(images)} images, {images.resizing}")
    if len(images) != known.count and not args.allow_partial:
        raise ValueError(
            f"{images.title} has {known.count} images, of which {len(images)} can be read here. Download "
            f"{known.archive} again ({images.url}), or accept what is there with --allow-partial"
        )
    _print_next(args.verb, args.out, args.usual)


def prepare_cifar10_c(args: argparse.Namespace) -> None:
    """Unpack or link the source, then open every file."""
    if args.source is not None:
        files = [f"{name}.npy" for name in (*CORRUPTIONS, "labels")]
        print(take(args.source, args.out, layout(*files), ("labels.npy",)))
    count, bad = 0, []
    for name in CORRUPTIONS:
        try:
            count = len(SEVERITIES) * len(CIFAR10C(str(args.out), name))
        except DatasetNotReadableError as error:
            bad.append((name, str(error.__cause__)))
    usable = len(CORRUPTIONS) - len(bad)
    whole = f"{args.out}: {usable} of {len(CORRUPTIONS)} corruptions, {count} images of each"
    print(whole + list_bad_files(bad, "cannot be read"))
    if not usable or ((bad or count != CORRUPTED_COUNT) and not args.allow_partial):
        raise DatasetNotReadableError(
            f"'{args.out}' does not hold all of CIFAR-10-C, 19 corruptions of {CORRUPTED_COUNT} images. Download "
            f"CIFAR-10-C.tar from {URL} again, or accept what is there with --allow-partial"
        )
    if str(args.out) != args.usual:
        print(f"the recipe reads {args.usual}: link it to {args.out}")
    _print_next("cifar10_c", args.out, str(args.out))


def _print_next(name: str, out: Path, usual: str) -> None:
    elsewhere = "" if str(out) == usual else f" test_evaluator.metrics.0.outside.{name}.data_root={out}"
    only = f"test_evaluator.metrics.0.only=\"['{name}']\""
    print(f"next: python tools/test.py {RECIPE} CKPT --cfg-options {only}{elsewhere}")
