"""Subcommands that prepare images, pairs, the OOD data sets of CIFAR-10's recipe, detection sets and videos."""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets import CIFAR10, CIFAR100, DTD, STL10, SVHN, CelebA, DatasetNotReadableError, Places365, TinyImageNet
from ..datasets.archives import Place, layout, unpack
from ..datasets.decoding import image_files
from ..datasets.images.celeba import FOLDER, PARTITION, read_partition
from ..datasets.images.imagenet import prepare_imagenet
from ..datasets.images.ood_sets import CIFAR10C, CORRUPTIONS, SEVERITIES, URL
from ..datasets.images.pairs import build_cityscapes_pairs, is_cityscapes, pair_faults
from ..datasets.report import list_bad_files
from ..datasets.videos.lists import CheckSettings, filter_list, prepare_lists
from ..datasets.videos.official_splits import read_hmdb51_splits, read_ucf101_splits
from ..utils.files import link_folder, printable, write_atomically
from .verbs import SPLITS


def take(source: Path, out: Path, place: Place, holds: Sequence[str] = ()) -> None:
    """Unpack an archive to ``out``, or link ``out`` to a folder that already contains the data.

    Args:
        source: A zip or tar file, or a folder: the one that contains ``holds``, one of the ``holds``, or the parent
            folder.
        out: Folder that the recipes read.
        place: Maps each member of an archive to its path; see :func:`nda_mm.datasets.archives.unpack`.
        holds: Names of the folders or files that identify the data. By default, any folder is accepted.

    Raises:
        FileNotFoundError: If the source does not exist, or the folder does not contain the data.
        FileExistsError: If ``out`` is something else.
        ValueError: If the archive is damaged, or has none of the files.
    """
    if not source.is_dir():
        print(f"{source}: {unpack(source, out, place)} files in {out}")
        return
    near = [source, *([source.parent] if source.name in holds else []), *sorted(source.iterdir())]
    folder = next((place for place in near if all((place / name).exists() for name in holds)), None)
    if folder is None:
        raise FileNotFoundError(f"neither '{source}' nor a folder in it contains {' and '.join(holds)}")
    link_folder(folder, out)
    print(f"{folder}: is read as {out}")


def _copy(source: Path, target: Path) -> None:
    if not target.exists() or not source.samefile(target):
        with source.open("rb") as content:
            write_atomically(target, lambda file: shutil.copyfileobj(content, file))
    print(f"{source}: copied to {target}")


def _refuse_partial(args: argparse.Namespace, here: str, source: str) -> None:
    """Raise for an incomplete data set, unless ``--allow-partial`` is given."""
    if not args.allow_partial:
        raise ValueError(f"{here}. Get {source} again, or accept this with --allow-partial")


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load every split that exists."""
    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100}[args.verb]
    out = args.out
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            # The recipes read the archive itself.
            _copy(source, out / kind.published().filename)
        elif source.is_dir() or not args.split:
            take(source, out, layout("train/*/*", "test/*/*"), SPLITS)
        else:
            take(source, out / args.split, layout("*/*"))
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        dataset = kind(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        print(f"{out}, {split}: {len(dataset)} images of {len(kind.METAINFO['classes'])} classes")


def prepare_celeba(args: argparse.Namespace) -> None:
    """Unpack, copy or link the sources, and the list next to them, then decode every face as the recipe does."""
    number = "[0-9]" * 6
    for source in args.sources:
        faces = source / FOLDER if source.is_dir() and source.name != FOLDER else source
        is_list = source.suffix == ".txt"
        if not is_list:
            take(faces, args.out / FOLDER, layout(f"{number}.jpg", f"{number}.png"))
        listed = source if is_list else faces.parent / PARTITION
        if is_list or listed.is_file():
            read_partition(listed)  # raises if it is a different file
            _copy(listed, args.out / PARTITION)
    for split in ("train", "val", "test"):
        settings = dict(size=args.size, crop=args.crop, allow_partial=args.allow_partial)
        dataset = CelebA(str(args.out), split, **settings, max_bad=1.0)
        print(f"{args.out}, {split}: {len(dataset)} images, {args.crop} pixels of each scaled to {args.size}")


def prepare_stl10(args: argparse.Namespace) -> None:
    """Unpack or link the source, then read every split."""
    source, published = args.source, STL10.published()
    if source is None and args.download:
        source = args.out / published.filename
        STL10.download_archive(source)
    if source is not None:
        listed = [name for name, _ in published.train_list + published.test_list]
        take(source, args.out / published.base_folder, layout(*listed), ("train_X.bin",))
    for split in ("train", "test", "unlabeled"):
        dataset = STL10(str(args.out), split, size=16, allow_partial=args.allow_partial)
        print(f"{args.out}, {split}: {len(dataset)} images")


def prepare_imagenet_lists(args: argparse.Namespace) -> None:
    """Link the folder, decode every image and write the lists."""
    report = prepare_imagenet(args.folder, args.out, allow_partial=args.allow_partial, workers=args.workers)
    print("\n".join(report.lines()))


@dataclass(frozen=True)
class PairSet:
    """A published data set: its number of pairs by folder, the folders and recipes that read it, and its source."""

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
    """Unpack, make or link the pairs, then decode all of them."""
    pairs, out = PAIR_SETS[args.verb], args.out
    # The original Cityscapes has no pairs yet, so they are made. Other sources contain pairs.
    raw = [source for source in args.sources if args.verb == "cityscapes" and is_cityscapes(source)]
    for source in args.sources:
        if source not in raw:
            take(source, out, layout("train/*", "val/*", "test/*"), pairs.read)
    if raw:
        counts, bad = build_cityscapes_pairs(raw, out, workers=args.workers)
        print(f"{out}: pairs of {counts}{list_bad_files(bad, 'cannot be paired')}")

    # Check that all pairs are there.
    usable = {split: _count_pairs(out / split) for split in pairs.counts}
    if not all(usable[split] for split in pairs.read):
        parts = " and ".join(pairs.read)
        raise FileNotFoundError(f"'{out}' holds no usable pairs in {parts}, which the recipes read. Get {pairs.source}")
    if usable != pairs.counts:
        wrong = [f"{usable[split]} of {count} in {split}" for split, count in pairs.counts.items()]
        _refuse_partial(args, f"{args.verb} is incomplete (usable pairs: {', '.join(wrong)})", pairs.source)

    # Print the training command, with the data folder unless the recipe reads it by default.
    options = "".join(f" {loader}_dataloader.dataset.data_root={out}" for loader in ("train", "val", "test"))
    elsewhere = "" if str(out) == args.usual else f" --cfg-options{options}"
    print("next: " + "\n  or: ".join(f"python tools/train.py {name}{elsewhere}" for name in pairs.recipes))


def _count_pairs(folder: Path) -> int:
    """Print what a folder contains, and return its number of usable pairs."""
    files = image_files(folder) if folder.is_dir() else []
    faults = pair_faults(files, squares=True)
    bad = [(printable(file.relative_to(folder)), fault) for file, fault in zip(files, faults, strict=True) if fault]
    usable = len(files) - len(bad)
    print(f"{folder}: {usable} pairs{list_bad_files(bad, 'not a pair; remove or download again')}")
    return usable


RECIPE = "ood_biggan_cifar10"
SVHN_FILES = {split: f"{split}_32x32.mat" for split in ("train", "test")}
CORRUPTED_COUNT = 50_000


def prepare_svhn(args: argparse.Namespace) -> None:
    """Copy the files or link the folder, then read the two splits; no recipe needs the training split."""
    for source in args.sources:
        if source.is_dir():
            take(source, args.out, layout(), (SVHN_FILES["test"],))
        elif source.name in SVHN_FILES.values():
            _copy(source, args.out / source.name)
        else:
            names = " or ".join(SVHN_FILES.values())
            raise ValueError(f"the source must be {names} (SVHN's cropped digits, format 2), but got '{source}'")
    for split, name in SVHN_FILES.items():
        if split == "test" or (args.out / name).exists():
            print(f"{args.out / name}: {len(SVHN(str(args.out), split))} images")
    _print_next("svhn", args.out, args.usual)


@dataclass(frozen=True)
class FolderSet:
    """A published set of images in folders; ``holds`` are names in its folder, ``layout`` the paths of its files."""

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
    """Unpack or link the source, then decode every image as the recipe does."""
    known = FOLDER_SETS[args.verb]
    if args.source is not None:
        take(args.source, args.out, layout(*known.layout), known.holds)
    images = known.kind(str(args.out))  # reports every bad file
    print(f"{args.out}: {len(images)} images, {images.resizing}")
    if len(images) != known.count:
        here = f"{images.title} must have {known.count} images, but got {len(images)}"
        _refuse_partial(args, here, f"{known.archive} ({images.url})")
    _print_next(args.verb, args.out, args.usual)


def prepare_cifar10_c(args: argparse.Namespace) -> None:
    """Unpack or link the source, then open every file."""
    if args.source is not None:
        files = [f"{name}.npy" for name in (*CORRUPTIONS, "labels")]
        take(args.source, args.out, layout(*files), ("labels.npy",))
    count, bad = 0, []
    for name in CORRUPTIONS:
        try:
            count = len(SEVERITIES) * len(CIFAR10C(str(args.out), name))
        except DatasetNotReadableError as error:
            bad.append((name, str(error.__cause__)))
    usable, listed = len(CORRUPTIONS) - len(bad), list_bad_files(bad, "cannot be read")
    print(f"{args.out}: {usable} of {len(CORRUPTIONS)} corruptions, {count} images of each{listed}")
    if not usable:
        raise DatasetNotReadableError(f"'{args.out}' contains no file of CIFAR-10-C. Get CIFAR-10-C.tar from {URL}")
    if bad or count != CORRUPTED_COUNT:
        here = f"'{args.out}' does not contain all of CIFAR-10-C, 19 corruptions of {CORRUPTED_COUNT} images"
        _refuse_partial(args, here, f"CIFAR-10-C.tar from {URL}")
    # The recipe has an entry for each corruption and severity, so no single option selects a different folder.
    if str(args.out) != args.usual:
        print(f"the recipe reads {args.usual}: link it to {args.out}")
    _print_next("cifar10_c", args.out, str(args.out))


def _print_next(name: str, out: Path, usual: str) -> None:
    elsewhere = "" if str(out) == usual else f" test_evaluator.metrics.0.outside.{name}.data_root={out}"
    only = f"test_evaluator.metrics.0.only=\"['{name}']\""
    print(f"next: python tools/test.py {RECIPE} CKPT --cfg-options {only}{elsewhere}")


BCCD_CLASSES = ("RBC", "WBC", "Platelets")
#: Maps the members of an archive in PASCAL VOC's layout to their paths.
place_voc = layout("Annotations/*.xml", "JPEGImages/*", "ImageSets/Main/*.txt")


def prepare_bccd(args: argparse.Namespace) -> None:
    """Unpack or link the source, then check it as the recipes do, and count the boxes of each class."""
    from ..datasets import CheckedVOCDataset

    if args.source:
        take(args.source, args.out, place_voc, ("Annotations", "JPEGImages", "ImageSets"))
    # Find the lists.
    known = [f"ImageSets/Main/{name}.txt" for name in ("train", "val", "test", "trainval")]
    lists = [name for name in known if (args.out / name).is_file()]
    if not lists:
        raise FileNotFoundError(f"'{args.out}' contains no ImageSets/Main/train.txt, val.txt, test.txt or trainval.txt")

    # Check all of them before raising an error.
    faults = []
    for name in lists:
        try:
            paths: dict[str, Any] = dict(data_root=str(args.out), ann_file=name, data_prefix=dict(sub_data_root=""))
            data = CheckedVOCDataset(**paths, metainfo=dict(classes=BCCD_CLASSES), decode=True, serialize_data=False)
        except ValueError as error:
            faults.append(str(error))
            continue
        counts = Counter(item["bbox_label"] for info in data.data_list for item in info["instances"])
        boxes = ", ".join(f"{kind} {counts[label]}" for label, kind in enumerate(BCCD_CLASSES))
        print(f"{args.out}, {Path(name).stem}: {len(data)} images, boxes: {boxes}")
        print("".join(f"  {line}\n" for line in data.report.lines()), end="")
    if faults:
        raise ValueError("\n".join(faults))


def prepare_digits_scenes(args: argparse.Namespace) -> None:
    """Write the scenes, unless they exist already."""
    from ..datasets.toy.digits_scenes import make_digits_scenes

    written = make_digits_scenes(args.out, seed=args.seed)
    print(f"{args.out}: the scenes {'were written' if written else 'exist already'}")


def prepare_moving_digits(args: argparse.Namespace) -> None:
    """Write the clips of both splits."""
    from ..datasets.toy.moving_digits import MovingDigits, write_videos

    for split, count in zip(("train", "test"), args.clips):
        settings = dict(size=args.size, bouncing=args.bouncing, seed=args.seed)
        clips = MovingDigits(split, num_clips=count, **settings, cache=False)
        print(f"{write_videos(clips, args.out)}: {count} clips of {clips.num_frames} frames")


def prepare_videos(args: argparse.Namespace) -> None:
    """Check the videos, then write the lists of the three splits, or a single list, without the bad ones."""
    settings = CheckSettings(args.min_frames, args.workers, args.every_frame)
    if args.verb == "video_list":
        out = args.out or args.list.with_name(f"{args.list.stem}_checked{args.list.suffix}")
        report = filter_list(args.list, args.videos, out, settings)
    else:
        if not args.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {args.folder}")
        read_splits = {"ucf101": read_ucf101_splits, "hmdb51": read_hmdb51_splits}[args.verb]
        report = prepare_lists(read_splits(args.annotations or args.folder), args.folder, args.out, settings)
    print("\n".join(report.lines()))
