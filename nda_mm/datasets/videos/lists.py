"""Lists of videos in mmaction2's format, of the files that are there and can be read."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nda_mm.utils.files import check_file, files_below, link_folder, printable, write_text_atomically
from nda_mm.utils.messages import shorten

from .official_splits import OfficialSplits
from .probe import Probe, check_videos

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".wmv", ".flv"})
#: A line of a list: a path, which may hold spaces, and the labels behind it, if any.
_LINE = re.compile(r"(?P<path>.+?)(?P<labels>([ ,;\t]+-?\d+)*)")
_DELIMITERS = re.compile(r"[ ,;\t]+")
#: Why a video is missing from lists.
UNREADABLE, SHORT, MISSING = "cannot be read", "too short, left out of training lists", "listed but not there"
SPACE, TWICE, UNLISTED = "space in the name, which the lists cannot hold", "there twice", "in no list"
UNLISTED_CLASS = "class in no list"


@dataclass
class VideoReport:
    """What was listed, and what was left out and why."""

    listed: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, kind: str, file: str, detail: str = "") -> None:
        """Add one file."""
        self.left_out.setdefault(kind, []).append(printable(f"{file} ({detail})" if detail else file))

    def lines(self, limit: int = 20) -> list[str]:
        """One line for each list and note, and one for each kind of what was left out, with ``limit`` of its files."""
        lines = [f"{path}: {count} videos" for path, count in self.listed.items()] + self.notes
        return lines + [
            f"{len(files)} x {kind}: {shorten(files, limit, '; ')}" for kind, files in self.left_out.items()
        ]


@dataclass(frozen=True)
class CheckSettings:
    """How videos are checked.

    Args:
        min_frames: Least number of frames of a training video, at least 1. DPC's window needs 118.
        workers: Number of processes.
        every_frame: Whether every frame is decoded, not just the first and the last.

    Raises:
        ValueError: If a number is below 1.
    """

    min_frames: int = 1
    workers: int = 1
    every_frame: bool = False

    def __post_init__(self) -> None:
        for name in ("min_frames", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but got {getattr(self, name)}")


def find_videos(folder: Path) -> list[Path]:
    """Video files below a folder, sorted; links are followed, but no folder is entered twice."""
    return files_below(
        folder, lambda name: not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES
    )


def prepare_lists(official: OfficialSplits, folder: Path, out: Path, settings: CheckSettings) -> VideoReport:
    """Write the lists of all splits, of the videos that are there and can be read.

    Videos are known by class and name, wherever in ``folder`` they lie and whatever their ending. The lists
    (``NAME_train_split_1_videos.txt``, ...) name them from the folder of the classes on, which ``out/videos`` is made a
    link to, where it is not that folder already. Nothing that stands there is overwritten but earlier lists.

    Short videos are left out of the lists for training only: accuracies are compared over all test videos.

    Args:
        official: Which videos belong where.
        folder: Holds the class folders, at any depth.
        out: Where the recipes look: ``data/ucf101`` or ``data/hmdb51``.
        settings: How videos are checked.

    Returns:
        What was listed and left out; the whole of it is in ``out/NAME_left_out.txt``.

    Raises:
        FileNotFoundError: If no video of the lists is there.
        FileExistsError: If something else stands at ``out/videos``.
        ValueError: If a list would be empty.
    """
    report = VideoReport()
    there = _by_key(find_videos(folder), report)
    wanted = {key for keys in official.lists.values() for key in keys}
    found = {key: there[key.lower()] for key in sorted(wanted) if key.lower() in there}
    if not found:
        raise FileNotFoundError(
            f"{folder} holds {len(there)} videos, but none of {official.name} as CLASS/NAME.avi, such as "
            f"{min(wanted)}.avi; name the folder that the archive was unpacked to"
        )
    _report_unlisted(official, there, wanted, folder, report)
    for key in sorted(wanted - set(found)):
        report.add(MISSING, key)
    root = Path(os.path.commonpath([path.parent.parent for path in found.values()]))
    names = {key: path.relative_to(root).as_posix() for key, path in found.items()}
    for key, name in list(names.items()):
        if " " in name:
            report.add(SPACE, name)
            del names[key]
    link_folder(root, out / "videos")
    probes = check_videos(
        root,
        list(names.values()),
        out / f"{official.name}_checked_videos.json",
        workers=settings.workers,
        every_frame=settings.every_frame,
    )
    training = {key for split, keys in official.lists.items() if split.startswith("train") for key in keys}
    readable = _readable(probes, settings.min_frames, report, {name for key, name in names.items() if key in training})
    labels = {name: label for label, name in enumerate(official.classes)}
    lists = {}
    for split, keys in official.lists.items():
        least = settings.min_frames if split.startswith("train") else 1
        chosen = [key for key in keys if key in names and readable.get(names[key], 0) >= least]
        lists[split] = "".join(f"{names[key]} {labels[key.split('/')[0]]}\n" for key in chosen)
    empty = [split for split, text in lists.items() if not text]
    if empty:
        raise ValueError(
            f"no video is left for {', '.join(empty)} of {official.name}, of {len(found)} in {root}:\n  "
            + "\n  ".join(report.lines())
        )
    for split, text in lists.items():
        path = out / f"{official.name}_{split}_videos.txt"
        write_text_atomically(path, text)
        report.listed[str(path)] = text.count("\n")
    write_text_atomically(out / f"{official.name}_left_out.txt", "\n".join(report.lines(limit=1 << 30)) + "\n")
    return report


def filter_list(source: Path, videos: Path, out: Path, settings: CheckSettings, training: bool = True) -> VideoReport:
    """Write a list that is there already anew, without videos that are missing, unreadable or too short.

    Args:
        source: A list of mmaction2's ``VideoDataset``: in each line a path relative to ``videos``, then labels. Paths
            may hold spaces, which ``VideoDataset`` can read by another ``delimiter`` alone: then the list is written
            with that, and the report says so.
        videos: Folder of the videos, the recipe's ``data_prefix``.
        out: The list to write; may be ``source``.
        settings: How videos are checked; the results are kept beside ``out``.
        training: Whether ``settings.min_frames`` holds. Defaults to True.

    Returns:
        What was listed and left out.

    Raises:
        FileNotFoundError: If ``source`` is missing.
        ValueError: If no video is left.
    """
    report = VideoReport()
    check_file(source)
    lines = source.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    rows = [match.group("path", "labels") for line in lines if (match := _LINE.fullmatch(line.strip()))]
    names = list(dict.fromkeys(name for name, _ in rows))
    there = [name for name in names if os.path.exists(videos / name)]
    for name in sorted(set(names) - set(there)):
        report.add(MISSING, name)
    probes = check_videos(
        videos,
        there,
        out.with_name(f"{out.stem}_checked.json"),
        workers=settings.workers,
        every_frame=settings.every_frame,
    )
    least = settings.min_frames if training else 1
    readable = _readable(probes, least, report, training=set(there))
    kept = [(name, labels) for name, labels in rows if readable.get(name, 0) >= least]
    if not kept:
        raise ValueError(
            f"of the {len(names)} videos in {source}, none is left in {videos}:\n  " + "\n  ".join(report.lines())
        )
    if any((labels[:1] or " ") in name for name, labels in kept):  # which VideoDataset would cut there
        free = [mark for mark in ",;\t" if not any(mark in name for name, _ in kept)]
        if not free:
            raise ValueError(f"paths in {source} hold spaces, commas, semicolons and tabs: no delimiter is left")
        kept = [(name, _DELIMITERS.sub(free[0], labels)) for name, labels in kept]
        report.notes.append(f"paths hold spaces: set delimiter={free[0]!r} in the VideoDataset that reads this list")
    write_text_atomically(out, "".join(f"{name}{labels}\n" for name, labels in kept))
    report.listed[str(out)] = len(kept)
    return report


def _by_key(paths: Iterable[Path], report: VideoReport) -> dict[str, Path]:
    """Videos by 'class/name' in lower case: UCF101's own lists and files differ in one class's capitals."""
    there: dict[str, Path] = {}
    for path in paths:
        key = f"{path.parent.name}/{path.stem}".lower()
        if key in there:
            report.add(TWICE, str(path), f"taken is {there[key]}")
        else:
            there[key] = path
    return there


def _report_unlisted(
    official: OfficialSplits, there: dict[str, Path], wanted: set[str], folder: Path, report: VideoReport
) -> None:
    known_classes = {name.lower() for name in official.classes}
    known = {key.lower() for key in wanted | official.unused}
    unlisted: dict[Path, int] = {}
    for key, path in there.items():
        if path.parent.name.lower() not in known_classes:
            unlisted[path.parent] = unlisted.get(path.parent, 0) + 1
        elif key not in known:
            report.add(UNLISTED, path.relative_to(folder).as_posix())
    for parent, count in unlisted.items():
        report.add(UNLISTED_CLASS, parent.relative_to(folder).as_posix(), f"{count} videos")


def _readable(probes: dict[str, Probe], least: int, report: VideoReport, training: set[str]) -> dict[str, int]:
    """Frames of the videos that can be read; the others, and too short ones among those for training, are reported."""
    readable = {}
    for name, probe in sorted(probes.items()):
        if probe.fault:
            report.add(UNREADABLE, name, probe.fault)
            continue
        readable[name] = probe.frames
        if probe.frames < least and name in training:
            report.add(SHORT, name, f"{probe.frames} of {least} frames")
    return readable
