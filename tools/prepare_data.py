"""Put data where the recipes look for them, checked.

Whatever you have of CIFAR will do: the official archive, zips of class folders, or nothing (download)::

    python tools/prepare_data.py cifar10 cifar-10-python.tar.gz
    python tools/prepare_data.py cifar10 train.zip test.zip --out data/cifar10
    python tools/prepare_data.py cifar100 --download

The result is read as the training would read it, which verifies every image and caches the decoded class folders.

For GANs of larger images: CelebA's zip and its list of splits, or the folder; STL-10's archive, or nothing (download);
ImageNet's folder, of which every image is looked at once and those that can be read are listed::

    python tools/prepare_data.py celeba img_align_celeba.zip list_eval_partition.txt
    python tools/prepare_data.py stl10 stl10_binary.tar.gz
    python tools/prepare_data.py imagenet /data/imagenet --workers 16

Detection: BCCD from a zip, each image and box looked at, and the scenes of digits (training writes them, too)::

    python tools/prepare_data.py bccd BCCD_Dataset.zip --out data/bccd
    python tools/prepare_data.py digits_scenes --seed 0

Video: the clips of moving digits as files with the lists that mmaction2's VideoDataset reads; the recipes need none,
since they draw the clips in memory::

    python tools/prepare_data.py moving_digits --clips 800 200 --size 64

UCF101 and HMDB51 from the folder where you unpacked their archives, and their splits: every video is opened once, what
cannot be read is reported and left out, and the lists of all three splits go to data/ucf101, with a link to the videos.
Kinetics as mmaction2's own tools lay it out, whose lists are filtered::

    python tools/prepare_data.py ucf101 /data/UCF101 --workers 8
    python tools/prepare_data.py hmdb51 /data/HMDB51 --min-frames 118
    python tools/prepare_data.py video_list data/kinetics400/kinetics400_train_list_videos.txt \
        data/kinetics400/videos_train --min-frames 118 --workers 8
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

from nda_mm.datasets import CIFAR10, CIFAR100, STL10, CelebA, DatasetNotReadableError, MovingDigits
from nda_mm.datasets.bccd import check_bccd, refuse_unusable, unpack_voc
from nda_mm.datasets.celeba import CROPS
from nda_mm.datasets.celeba_unpacking import take_celeba
from nda_mm.datasets.digits_scenes import SceneSettings, make_digits_scenes
from nda_mm.datasets.download import DownloadError
from nda_mm.datasets.hmdb51 import read_hmdb51_splits
from nda_mm.datasets.imagenet_lists import prepare_imagenet
from nda_mm.datasets.stl10_unpacking import fetch_stl10, take_stl10
from nda_mm.datasets.ucf101 import read_ucf101_splits
from nda_mm.datasets.unpacking import SPLITS, unpack_class_folders
from nda_mm.datasets.video_files import write_videos
from nda_mm.datasets.video_lists import CheckSettings, filter_list, prepare_lists


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load what is there."""
    out = Path(args.out or f"data/{args.verb}")
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / args.dataset.archive.filename)
            print(f"{source}: copied to {out}")
        else:
            started = time.perf_counter()
            counts = unpack_class_folders(source, out, args.split)
            print(f"{source}: {counts} images unpacked to {out} in {time.perf_counter() - started:.1f} s")
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        started = time.perf_counter()
        dataset = args.dataset(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        seconds = time.perf_counter() - started
        print(f"{out}, {split}: {len(dataset)} images of {len(dataset.CLASSES)} classes, loaded in {seconds:.1f} s")


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


def prepare_bccd(args: argparse.Namespace) -> None:
    """Unpack the zip, look at everything in it and say what was found."""
    if args.source:
        print(f"{args.source}: {unpack_voc(args.source, args.out)} files unpacked to {args.out}")
    checks = check_bccd(args.out)
    print("\n".join(f"{args.out}, {check}" for check in checks))
    refuse_unusable(checks)


def prepare_digits_scenes(args: argparse.Namespace) -> None:
    """Write the scenes, unless they are there."""
    written = make_digits_scenes(args.out, SceneSettings(seed=args.seed))
    print(f"{args.out}: the scenes {'were written' if written else 'are there'}")


def prepare_moving_digits(args: argparse.Namespace) -> None:
    """Write the clips of both splits."""
    out = Path(args.out or "data/moving_digits")
    for split, count in zip(SPLITS, args.clips):
        clips = MovingDigits(
            split, num_clips=count, size=args.size, bouncing=args.bouncing, seed=args.seed, cache=False
        )
        print(f"{write_videos(clips, out)}: {count} clips of {clips.num_frames} frames")


def prepare_action_videos(args: argparse.Namespace) -> None:
    """Look at the videos and write the lists of the three splits."""
    if not args.folder.is_dir():
        raise FileNotFoundError(f"there is no folder {args.folder}")
    official = args.read_splits(args.annotations or args.folder)
    report = prepare_lists(official, args.folder, Path(args.out or f"data/{args.verb}"), check_settings(args))
    print("\n".join(report.lines()))


def prepare_video_list(args: argparse.Namespace) -> None:
    """Look at the videos of a list and write it anew."""
    out = args.out or args.list.with_name(f"{args.list.stem}_checked{args.list.suffix}")
    print("\n".join(filter_list(args.list, args.videos, out, check_settings(args)).lines()))


def check_settings(args: argparse.Namespace) -> CheckSettings:
    def progress(done: int, total: int) -> None:
        if done % 1000 == 0 or done == total:
            print(f"{done} of {total} videos looked at", flush=True)

    return CheckSettings(args.min_frames, args.workers, args.every_frame, progress)


def add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--min-frames", type=int, default=1, help="training videos with fewer are left out; DPC: 118")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one a core")
    parser.add_argument("--every-frame", action="store_true", help="decode all frames, not just the first and the last")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
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
    sub = verbs.add_parser("bccd", help="BCCD, cells in photographs of blood, from a zip in PASCAL VOC's layout")
    sub.add_argument("source", nargs="?", type=Path, help="the zip; without it, what --out holds is checked again")
    sub.add_argument("--out", default="data/bccd", help="where the recipes look for it; default: data/bccd")
    sub.set_defaults(run=prepare_bccd)
    sub = verbs.add_parser("digits_scenes", help="scenes of scikit-learn's digits, with boxes in COCO's format")
    sub.add_argument("--out", default="data/digits_scenes", help="default: data/digits_scenes, as in the recipe")
    sub.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    sub.set_defaults(run=prepare_digits_scenes)
    sub = verbs.add_parser("moving_digits", help="clips of scikit-learn's digits, with their motion as the class")
    sub.add_argument("--out", help="where to write; default: data/moving_digits")
    sub.add_argument(
        "--clips", type=int, nargs=2, default=(800, 200), metavar=("TRAIN", "TEST"), help="default: 800 200"
    )
    sub.add_argument("--size", type=int, default=64, help="side of the frames in pixels; default: 64")
    sub.add_argument("--bouncing", action="store_true", help="ten classes: two of digits that bounce as well")
    sub.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    sub.set_defaults(run=prepare_moving_digits)
    for verb, read_splits in {"ucf101": read_ucf101_splits, "hmdb51": read_hmdb51_splits}.items():
        sub = verbs.add_parser(verb, help=f"lists of {verb.upper()}'s three splits, of the videos that can be read")
        sub.add_argument("folder", type=Path, help="the unpacked archives: CLASS/NAME.avi and the splits, at any depth")
        sub.add_argument("--annotations", type=Path, help="folder of the splits, where it is not in the folder")
        sub.add_argument("--out", help=f"where the recipes look; default: data/{verb}")
        add_check_options(sub)
        sub.set_defaults(run=prepare_action_videos, read_splits=read_splits)
    sub = verbs.add_parser("video_list", help="a list of mmaction2's VideoDataset without what cannot be read")
    sub.add_argument("list", type=Path, help="the list: a path and a label in each line")
    sub.add_argument("videos", type=Path, help="what the paths are relative to, the recipe's data_prefix")
    sub.add_argument("--out", type=Path, help="the new list, which may be the old one; default: LIST_checked.txt")
    add_check_options(sub)
    sub.set_defaults(run=prepare_video_list)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        args.run(args)
    except (DatasetNotReadableError, DownloadError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
