"""Commands for detection and video: BCCD, scenes and clips of digits, UCF101, HMDB51, and any list of videos."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from ..datasets import MovingDigits
from ..datasets.archives import layout
from ..datasets.toy.moving_digits import write_videos
from ..datasets.videos.lists import CheckSettings, filter_list, prepare_lists
from ..datasets.videos.official_splits import read_hmdb51_splits, read_ucf101_splits
from .images import take

BCCD_CLASSES = ("RBC", "WBC", "Platelets")
#: Where a member of an archive in PASCAL VOC's layout belongs.
place_voc = layout("Annotations/*.xml", "JPEGImages/*", "ImageSets/Main/*.txt")


def prepare_bccd(args: argparse.Namespace) -> None:
    """Unpack or link the source, then check it as the recipes do, and count the boxes of each class."""
    from ..datasets import CheckedVOCDataset

    if args.source:
        print(take(args.source, args.out, place_voc, ("Annotations", "JPEGImages", "ImageSets")))
    lists = [f"ImageSets/Main/{name}.txt" for name in ("train", "val", "test", "trainval")]
    lists = [name for name in lists if (args.out / name).is_file()]
    if not lists:
        raise FileNotFoundError(f"'{args.out}' holds no ImageSets/Main/train.txt, val.txt, test.txt or trainval.txt")
    faults = []
    for name in lists:
        try:
            data = CheckedVOCDataset(
                data_root=str(args.out),
                ann_file=name,
                data_prefix=dict(sub_data_root=""),
                metainfo=dict(classes=BCCD_CLASSES),
                decode=True,
                serialize_data=False,
            )
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
    """Write the scenes, unless they are there."""
    from ..datasets.toy.digits_scenes import make_digits_scenes

    written = make_digits_scenes(args.out, seed=args.seed)
    print(f"{args.out}: the scenes {'were written' if written else 'are there'}")


def prepare_moving_digits(args: argparse.Namespace) -> None:
    """Write the clips of both splits."""
    for split, count in zip(("train", "test"), args.clips):
        clips = MovingDigits(
            split, num_clips=count, size=args.size, bouncing=args.bouncing, seed=args.seed, cache=False
        )
        print(f"{write_videos(clips, args.out)}: {count} clips of {clips.num_frames} frames")


def prepare_action_videos(args: argparse.Namespace) -> None:
    """Check the videos and write the lists of the three splits."""
    if not args.folder.is_dir():
        raise FileNotFoundError(f"there is no folder {args.folder}")
    read_splits = {"ucf101": read_ucf101_splits, "hmdb51": read_hmdb51_splits}[args.verb]
    official = read_splits(args.annotations or args.folder)
    settings = CheckSettings(args.min_frames, args.workers, args.every_frame)
    report = prepare_lists(official, args.folder, args.out, settings)
    print("\n".join(report.lines()))


def prepare_video_list(args: argparse.Namespace) -> None:
    """Check the videos of a list and write a list without the bad ones."""
    out = args.out or args.list.with_name(f"{args.list.stem}_checked{args.list.suffix}")
    settings = CheckSettings(args.min_frames, args.workers, args.every_frame)
    print("\n".join(filter_list(args.list, args.videos, out, settings).lines()))
