"""Verbs for video: clips of moving digits, UCF101, HMDB51, and any list of videos."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..datasets import MovingDigits
from ..datasets.videos.hmdb51 import read_hmdb51_splits
from ..datasets.videos.ucf101 import read_ucf101_splits
from ..datasets.videos.video_files import write_videos
from ..datasets.videos.video_lists import CheckSettings, filter_list, prepare_lists

__all__ = ["add_verbs"]


def add_verbs(verbs: Any) -> None:
    """Add ``moving_digits``, ``ucf101``, ``hmdb51`` and ``video_list`` to the subparsers of a command."""
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


def prepare_moving_digits(args: argparse.Namespace) -> None:
    """Write the clips of both splits."""
    out = Path(args.out or "data/moving_digits")
    for split, count in zip(("train", "test"), args.clips):
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
