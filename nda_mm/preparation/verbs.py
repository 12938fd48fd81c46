"""The verbs of ``tools/prepare_data.py`` and their options; what a verb does is imported when it is run."""

from __future__ import annotations

import argparse
import os
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["add_verbs", "run_verb"]

SPLITS = ("train", "test")


def run_verb(args: argparse.Namespace) -> None:
    """Do what was asked for, and print what was done.

    Args:
        args: From a parser that :func:`add_verbs` has filled.
    """
    module, function = args.run
    getattr(import_module(f"{__package__}.{module}"), function)(args)


def add_verbs(verbs: Any) -> None:
    """Add all verbs to the subparsers of a command."""
    _add_images(verbs)
    _add_pairs(verbs)
    _add_ood(verbs)
    _add_boxes(verbs)
    _add_videos(verbs)


def _add_images(verbs: Any) -> None:
    for verb, title in {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}.items():
        sub = verbs.add_parser(verb, help=f"{title} from its archive, zips of class folders, or the internet")
        sub.add_argument("sources", nargs="*", type=Path, help="official .tar.gz, or zips of [SPLIT/]CLASS/*.png")
        sub.add_argument("--out", help=f"where the recipes look for it; default: data/{verb}")
        sub.add_argument("--split", choices=SPLITS, help="what a zip without a split level holds")
        sub.add_argument("--download", action="store_true", help="fetch the official archive if nothing is there")
        sub.add_argument("--allow-partial", action="store_true", help="accept other than the official number of images")
        sub.set_defaults(run=("images", "prepare_cifar"))
    sub = verbs.add_parser("celeba", help="CelebA's aligned faces from its zip, or from a folder that has them")
    sub.add_argument("sources", nargs="*", type=Path, help="img_align_celeba.zip, list_eval_partition.txt, or a folder")
    sub.add_argument("--out", type=Path, default=Path("data/celeba"), help="default: data/celeba, as in the recipe")
    sub.add_argument("--size", type=int, default=64, help="side that the faces are decoded to; default: 64")
    sub.add_argument(
        "--crop", type=int, choices=(108, 178), default=178, help="square cut out; default: 178, the whole width"
    )
    sub.add_argument("--allow-partial", action="store_true", help="accept that images are missing")
    sub.set_defaults(run=("images", "prepare_celeba"))
    sub = verbs.add_parser("stl10", help="STL-10 from its archive or folder, or the internet")
    sub.add_argument("source", nargs="?", type=Path, help="stl10_binary.tar.gz, or the folder that it unpacks to")
    sub.add_argument("--out", type=Path, default=Path("data/stl10"), help="default: data/stl10, as in the recipe")
    sub.add_argument("--download", action="store_true", help="fetch the official archive, 2.6 GB")
    sub.add_argument("--allow-partial", action="store_true", help="accept other than the official number of images")
    sub.set_defaults(run=("images", "prepare_stl10"))
    sub = verbs.add_parser("imagenet", help="lists of ImageNet's images that can be read, and a link to them")
    sub.add_argument("folder", type=Path, help="holds train/ and val/, with one folder of images for each class")
    sub.add_argument("--out", type=Path, default=Path("data/imagenet"), help="default: data/imagenet, as in the recipe")
    sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads; default: one a core")
    sub.add_argument("--allow-partial", action="store_true", help="accept other than 1,000 classes")
    sub.set_defaults(run=("images", "prepare_imagenet_lists"))


def _add_pairs(verbs: Any) -> None:
    for verb, archives in {
        "facades": "facades.tar.gz",
        "cityscapes": "cityscapes.tar.gz, or leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip, of which the "
        "pairs are made",
    }.items():
        sub = verbs.add_parser(verb, help=f"{verb.capitalize()}, two images side by side in each file, for Pix2Pix")
        sub.add_argument("sources", nargs="*", type=Path, help=f"{archives}; or a folder of that")
        sub.add_argument("--out", type=Path, help=f"where the recipes look; default: data/pix2pix/{verb}")
        sub.add_argument("--allow-partial", action="store_true", help="accept other than the published number of pairs")
        if verb == "cityscapes":
            sub.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="threads; default: one a core")
        sub.set_defaults(run=("images", "prepare_pairs"))


def _add_ood(verbs: Any) -> None:
    sub = verbs.add_parser("svhn", help="SVHN's cropped digits, as an OOD data set")
    sub.add_argument(
        "sources", nargs="*", type=Path, help="test_32x32.mat and, if wanted, train_32x32.mat; or a folder"
    )
    sub.add_argument("--out", type=Path, default=Path("data/svhn"), help="where the recipe looks; default: data/svhn")
    sub.set_defaults(run=("images", "prepare_svhn"), usual="data/svhn")
    for verb, title, archive, out in (
        ("tiny_imagenet", "Tiny ImageNet", "tiny-imagenet-200.zip", "data/tiny-imagenet-200"),
        ("places365", "Places365", "val_256.tar", "data/places365"),
        ("dtd", "DTD", "dtd-r1.0.1.tar.gz", "data/dtd"),
    ):
        sub = verbs.add_parser(verb, help=f"{title}, as an OOD data set")
        sub.add_argument("source", nargs="?", type=Path, help=f"{archive}, or the folder that it unpacks to")
        _finish_ood(sub, out, "prepare_folder")
    sub = verbs.add_parser("cifar10_c", help="CIFAR-10-C, 19 corruptions by 5 severities, as OOD data sets")
    sub.add_argument("source", nargs="?", type=Path, help="CIFAR-10-C.tar, or the folder that it unpacks to")
    _finish_ood(sub, "data/CIFAR-10-C", "prepare_cifar10_c")


def _finish_ood(sub: argparse.ArgumentParser, out: str, run: str) -> None:
    sub.add_argument("--out", type=Path, default=Path(out), help=f"where the recipe looks; default: {out}")
    sub.add_argument("--allow-partial", action="store_true", help="accept that images are missing or cannot be read")
    sub.set_defaults(run=("images", run), usual=out)


def _add_boxes(verbs: Any) -> None:
    sub = verbs.add_parser("bccd", help="BCCD, cells in photographs of blood, from a zip in PASCAL VOC's layout")
    sub.add_argument(
        "source", nargs="?", type=Path, help="the zip, or a folder of it; without it, what --out holds is checked again"
    )
    sub.add_argument(
        "--out", type=Path, default=Path("data/bccd"), help="where the recipes look for it; default: data/bccd"
    )
    sub.set_defaults(run=("boxes_and_videos", "prepare_bccd"))
    sub = verbs.add_parser("digits_scenes", help="scenes of scikit-learn's digits, with boxes in COCO's format")
    sub.add_argument("--out", default="data/digits_scenes", help="default: data/digits_scenes, as in the recipe")
    sub.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    sub.set_defaults(run=("boxes_and_videos", "prepare_digits_scenes"))


def _add_videos(verbs: Any) -> None:
    sub = verbs.add_parser("moving_digits", help="clips of scikit-learn's digits, with their motion as the class")
    sub.add_argument("--out", help="where to write; default: data/moving_digits")
    sub.add_argument(
        "--clips", type=int, nargs=2, default=(800, 200), metavar=("TRAIN", "TEST"), help="default: 800 200"
    )
    sub.add_argument("--size", type=int, default=64, help="side of the frames in pixels; default: 64")
    sub.add_argument("--bouncing", action="store_true", help="ten classes: two of digits that bounce as well")
    sub.add_argument("--seed", type=int, default=0, help="of all draws; default: 0")
    sub.set_defaults(run=("boxes_and_videos", "prepare_moving_digits"))
    for verb in ("ucf101", "hmdb51"):
        sub = verbs.add_parser(verb, help=f"lists of {verb.upper()}'s three splits, of the videos that can be read")
        sub.add_argument("folder", type=Path, help="the unpacked archives: CLASS/NAME.avi and the splits, at any depth")
        sub.add_argument("--annotations", type=Path, help="folder of the splits, where it is not in the folder")
        sub.add_argument("--out", help=f"where the recipes look; default: data/{verb}")
        _add_check_options(sub)
        sub.set_defaults(run=("boxes_and_videos", "prepare_action_videos"))
    sub = verbs.add_parser("video_list", help="a list of mmaction2's VideoDataset without what cannot be read")
    sub.add_argument("list", type=Path, help="the list: a path and a label in each line")
    sub.add_argument("videos", type=Path, help="what the paths are relative to, the recipe's data_prefix")
    sub.add_argument("--out", type=Path, help="the new list, which may be the old one; default: LIST_checked.txt")
    _add_check_options(sub)
    sub.set_defaults(run=("boxes_and_videos", "prepare_video_list"))


def _add_check_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--min-frames", type=int, default=1, help="training videos with fewer are left out; DPC: 118")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes; default: one a core")
    parser.add_argument("--every-frame", action="store_true", help="decode all frames, not just the first and the last")
