"""The subcommands of ``tools/prepare_data.py`` and their options; the commands are imported only when run."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any

SPLITS = ("train", "test")


def run_verb(args: argparse.Namespace) -> None:
    """Run the chosen subcommand, which prints what it did.

    Args:
        args: Arguments parsed by a parser that :func:`add_verbs` has filled.
    """
    getattr(import_module(f"{__package__}.commands"), args.run)(args)


def add_verbs(verbs: Any) -> None:
    """Add all subcommands to the subparsers of a command."""
    _add_images(verbs)
    _add_pairs(verbs)
    _add_ood(verbs)
    _add_boxes(verbs)
    _add_videos(verbs)


def _add(verbs: Any, name: str, about: str, run: str, out: str, partial: str = "") -> Any:
    """Add one subcommand with ``--out`` and, if ``partial`` says what it accepts, ``--allow-partial``."""
    sub = verbs.add_parser(name, help=about)
    sub.add_argument("--out", type=Path, default=Path(out), help=f"output folder; default, as in the recipes: {out}")
    if partial:
        sub.add_argument("--allow-partial", action="store_true", help=f"accept {partial}")
    sub.set_defaults(run=run, usual=out)
    return sub


def _add_workers(sub: Any, what: str = "threads") -> None:
    about = f"number of {what}; default: one per core"
    sub.add_argument("--jobs", dest="workers", metavar="JOBS", type=int, default=os.cpu_count(), help=about)
    sub.add_argument("--workers", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # former name


def _add_images(verbs: Any) -> None:
    for name, title in {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}.items():
        about = f"{title} from its archive, zips of class folders, or the internet"
        sub = _add(verbs, name, about, "prepare_cifar", f"data/{name}", "missing or additional images")
        sub.add_argument("sources", nargs="*", type=Path, help="official .tar.gz, or zips of [SPLIT/]CLASS/*.png")
        sub.add_argument("--split", choices=SPLITS, help="split of zips that have no split folder")
        sub.add_argument("--download", action="store_true", help="download the official archive if it is missing")
    about = "CelebA's aligned faces from its zip, or from a folder that contains them"
    sub = _add(verbs, "celeba", about, "prepare_celeba", "data/celeba", "missing images")
    sub.add_argument("sources", nargs="*", type=Path, help="img_align_celeba.zip, list_eval_partition.txt, or a folder")
    sub.add_argument("--size", type=int, default=64, help="side of the resized faces in pixels; default: 64")
    sub.add_argument("--crop", type=int, choices=(108, 178), default=178, help="side of the crop; default: 178")
    about = "STL-10 from its archive or folder, or the internet"
    sub = _add(verbs, "stl10", about, "prepare_stl10", "data/stl10", "missing or additional images")
    sub.add_argument("source", nargs="?", type=Path, help="stl10_binary.tar.gz, or the folder that it unpacks to")
    sub.add_argument("--download", action="store_true", help="download the official archive, 2.6 GB")
    about = "lists of the readable images of ImageNet, and a link to them"
    sub = _add(verbs, "imagenet", about, "prepare_imagenet_lists", "data/imagenet", "fewer or more than 1,000 classes")
    sub.add_argument("folder", type=Path, help="contains train/ and val/, each with one folder of images per class")
    _add_workers(sub)


def _add_pairs(verbs: Any) -> None:
    raw = "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, from which the pairs are made"
    for name, archives in {"facades": "facades.tar.gz", "cityscapes": f"cityscapes.tar.gz, or {raw}"}.items():
        about = f"{name.capitalize()}, two images side by side in each file, for Pix2Pix"
        out, partial = f"data/pix2pix/{name}", "more or fewer pairs than published"
        sub = _add(verbs, name, about, "prepare_pairs", out, partial)
        sub.add_argument("sources", nargs="*", type=Path, help=f"{archives}; or the unpacked folder")
        if name == "cityscapes":
            _add_workers(sub)


def _add_ood(verbs: Any) -> None:
    sub = _add(verbs, "svhn", "SVHN's cropped digits, as an OOD data set", "prepare_svhn", "data/svhn")
    sub.add_argument("sources", nargs="*", type=Path, help="test_32x32.mat and optionally train_32x32.mat; or a folder")
    for name, title, archive, out, function in (
        ("tiny_imagenet", "Tiny ImageNet", "tiny-imagenet-200.zip", "data/tiny-imagenet-200", "prepare_folder"),
        ("places365", "Places365", "val_256.tar", "data/places365", "prepare_folder"),
        ("dtd", "DTD", "dtd-r1.0.1.tar.gz", "data/dtd", "prepare_folder"),
        ("cifar10_c", "CIFAR-10-C", "CIFAR-10-C.tar", "data/CIFAR-10-C", "prepare_cifar10_c"),
    ):
        sub = _add(verbs, name, f"{title}, as OOD data", function, out, "missing or bad images")
        sub.add_argument("source", nargs="?", type=Path, help=f"{archive}, or the folder that it unpacks to")


def _add_boxes(verbs: Any) -> None:
    about = "BCCD, cells in photographs of blood, from a zip in PASCAL VOC's layout"
    sub = _add(verbs, "bccd", about, "prepare_bccd", "data/bccd")
    sub.add_argument("source", nargs="?", type=Path, help="the zip, or its unpacked folder; default: check --out again")
    about = "scenes of scikit-learn's digits, with boxes in COCO's format"
    sub = _add(verbs, "digits_scenes", about, "prepare_digits_scenes", "data/digits_scenes")
    sub.add_argument("--seed", type=int, default=0, help="seed for the random draws; default: 0")


def _add_videos(verbs: Any) -> None:
    about = "clips of scikit-learn's digits, with their motion as the class"
    sub = _add(verbs, "moving_digits", about, "prepare_moving_digits", "data/moving_digits")
    sub.add_argument(
        "--clips",
        type=int,
        nargs=2,
        default=(800, 200),
        metavar=("TRAIN", "TEST"),
        help="numbers of clips; default: 800 200",
    )
    sub.add_argument("--size", type=int, default=64, help="side of the frames in pixels; default: 64")
    sub.add_argument("--bouncing", action="store_true", help="add two classes of bouncing digits, ten in all")
    sub.add_argument("--seed", type=int, default=0, help="seed for the random draws; default: 0")
    for name in ("ucf101", "hmdb51"):
        about = f"lists of the readable videos in the three splits of {name.upper()}"
        sub = _add(verbs, name, about, "prepare_videos", f"data/{name}")
        sub.add_argument("folder", type=Path, help="the unpacked archives: CLASS/NAME.avi and the splits, at any depth")
        sub.add_argument("--annotations", type=Path, help="folder of the splits, if they are elsewhere")
        _add_check_options(sub)
    sub = verbs.add_parser("video_list", help="a list for mmaction2's VideoDataset without unreadable videos")
    sub.add_argument("list", type=Path, help="the list: a path and a label in each line")
    sub.add_argument("videos", type=Path, help="folder that the paths are relative to: the recipe's data_prefix")
    sub.add_argument("--out", type=Path, help="the new list, which may be the old one; default: LIST_checked.txt")
    _add_check_options(sub)
    sub.set_defaults(run="prepare_videos")


def _add_check_options(sub: Any) -> None:
    sub.add_argument("--min-frames", type=int, default=1, help="leave shorter training videos out; 118 for DPC")
    sub.add_argument("--every-frame", action="store_true", help="decode all frames, not just the first and the last")
    _add_workers(sub, "processes")
