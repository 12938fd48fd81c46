"""Verbs for video: clips of moving digits, UCF101, HMDB51, and any list of videos."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..datasets import MovingDigits
from ..datasets.videos.hmdb51 import read_hmdb51_splits
from ..datasets.videos.lists import CheckSettings, filter_list, prepare_lists
from ..datasets.videos.official_splits import read_ucf101_splits
from ..datasets.videos.video_files import write_videos

__all__ = ["prepare_action_videos", "prepare_moving_digits", "prepare_video_list"]


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
    read_splits = {"ucf101": read_ucf101_splits, "hmdb51": read_hmdb51_splits}[args.verb]
    official = read_splits(args.annotations or args.folder)
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
