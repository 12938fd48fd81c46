"""Lists of videos in mmaction2's format, limited to files that exist and can be read."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nda_mm.datasets.decoding import read_record
from nda_mm.datasets.report import FileReport, track
from nda_mm.utils.files import check_file, files_below, link_folder, write_text_atomically
from nda_mm.utils.video_files import Probe, open_video, silence_stderr

from .official_splits import OfficialSplits

VIDEO_SUFFIXES = frozenset({".avi", ".mp4", ".mkv", ".webm", ".mov", ".mpg", ".mpeg", ".wmv", ".flv"})
#: A line of a list: a path, which may contain spaces, followed by labels, if any.
_LINE = re.compile(r"(?P<path>.+?)(?P<labels>([ ,;\t]+-?\d+)*)")
_DELIMITERS = re.compile(r"[ ,;\t]+")
#: Seconds between two saves of the record of checked videos.
_SAVE_EVERY = 30.0
#: Reasons why a video is missing from the lists.
UNREADABLE, SHORT, MISSING = "cannot be read", "too short, left out of training lists", "listed but not there"
DEADLY = "decord crashes on it; the file is damaged or truncated"
SPACE, TWICE = "space in the name, which the list format does not allow", "there twice"


@dataclass(frozen=True)
class CheckSettings:
    """Settings for checking videos.

    Args:
        min_frames: Minimum number of frames of a training video. DPC's window needs 118.
        workers: Number of processes.
        every_frame: Whether to decode every frame, not just the first and the last.
    """

    min_frames: int = 1
    workers: int = 1
    every_frame: bool = False


def is_video(name: str) -> bool:
    """Return whether a file name looks like a video. Hidden files do not."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES


def prepare_lists(official: OfficialSplits, folder: Path, out: Path, settings: CheckSettings) -> FileReport:
    """Write the lists of all splits, limited to the videos that exist and can be read.

    Videos are identified by class and name, anywhere in ``folder`` and with any extension. Paths in the lists
    (``NAME_train_split_1_videos.txt``, ...) are relative to the folder of the classes, and ``out/videos`` becomes a
    link to this folder unless it is the folder itself. Only earlier lists are overwritten.

    Short videos are left out of the training lists only, because accuracies are compared on all test videos.

    Args:
        official: Official splits.
        folder: Folder that contains the class folders, at any depth.
        out: Folder that the recipes read: ``data/ucf101`` or ``data/hmdb51``.
        settings: Settings for checking videos.

    Returns:
        Report of what was listed and left out; ``out/NAME_left_out.txt`` has the full report.

    Raises:
        FileNotFoundError: If none of the listed videos exists.
        FileExistsError: If ``out/videos`` is something else.
        ValueError: If a list would be empty.
    """
    # Find the listed videos.
    report = FileReport()
    there = _by_key(files_below(folder, is_video), report)
    wanted = {key for keys in official.lists.values() for key in keys}
    found = {key: there[key.lower()] for key in sorted(wanted) if key.lower() in there}
    if not found:
        raise FileNotFoundError(
            f"{folder} has {len(there)} videos, but none of {official.name} as CLASS/NAME.avi, such as "
            f"{min(wanted)}.avi; pass the folder that the archive was unpacked to"
        )
    for key in sorted(wanted - set(found)):
        report.add(MISSING, key)
    root = Path(os.path.commonpath([path.parent.parent for path in found.values()]))
    names = {key: path.relative_to(root).as_posix() for key, path in found.items()}
    for name in names.values():
        if " " in name:
            report.add(SPACE, name)
    names = {key: name for key, name in names.items() if " " not in name}

    # Check which of them can be read and are long enough.
    link_folder(root, out / "videos")
    probes = check_videos(root, list(names.values()), out / f"{official.name}_checked_videos.json", settings)
    frames = _count_frames(probes, report)
    training = {key for split, keys in official.lists.items() if split.startswith("train") for key in keys}
    kept = _long_enough(frames, [names[key] for key in names if key in training], settings.min_frames, report)

    # Write the lists, but only if each of them has videos.
    labels = {name: label for label, name in enumerate(official.classes)}
    lists = {}
    for split, keys in official.lists.items():
        usable = kept if split.startswith("train") else frames
        chosen = [key for key in keys if names.get(key) in usable]
        lists[split] = "".join(f"{names[key]} {labels[key.split('/')[0]]}\n" for key in chosen)
    empty = [split for split, text in lists.items() if not text]
    if empty:
        raise ValueError(
            f"none of the {len(found)} videos in {root} is left for {', '.join(empty)} of {official.name}:\n  "
            + "\n  ".join(report.lines())
        )
    for split, text in lists.items():
        path = out / f"{official.name}_{split}_videos.txt"
        write_text_atomically(path, text)
        report.notes.append(f"{path}: {len(text.splitlines())} videos")
    write_text_atomically(out / f"{official.name}_left_out.txt", "\n".join(report.lines(limit=1 << 30)) + "\n")
    return report


def filter_list(source: Path, videos: Path, out: Path, settings: CheckSettings) -> FileReport:
    """Rewrite a list without the videos that are missing, unreadable or too short.

    Args:
        source: List for mmaction2's ``VideoDataset``, with a path relative to ``videos`` and labels in each line. Paths
            may contain spaces, which ``VideoDataset`` reads only with a different ``delimiter``: the list is then
            written with such a delimiter, and the report says so.
        videos: Folder of the videos, the recipe's ``data_prefix``.
        out: List to write; may be ``source``.
        settings: Settings for checking videos; the results are stored next to ``out``.

    Returns:
        Report of what was listed and left out.

    Raises:
        FileNotFoundError: If ``source`` is missing.
        ValueError: If no video is left.
    """
    # Find the listed videos that exist, can be read and are long enough.
    report = FileReport()
    check_file(source)
    lines = source.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    rows = [match.group("path", "labels") for line in lines if (match := _LINE.fullmatch(line.strip()))]
    names = list(dict.fromkeys(name for name, _ in rows))
    there = [name for name in names if os.path.exists(videos / name)]
    for name in sorted(set(names) - set(there)):
        report.add(MISSING, name)
    probes = check_videos(videos, there, out.with_name(f"{out.stem}_checked.json"), settings)
    frames = _count_frames(probes, report)
    kept = _long_enough(frames, there, settings.min_frames, report)
    kept_rows = [(name, labels) for name, labels in rows if name in kept]
    if not kept_rows:
        raise ValueError(
            f"none of the {len(names)} videos in {source} can be used from {videos}:\n  " + "\n  ".join(report.lines())
        )

    # VideoDataset splits a line at each delimiter, so the paths must not contain it.
    if any((labels[:1] or " ") in name for name, labels in kept_rows):
        free = [mark for mark in ",;\t" if not any(mark in name for name, _ in kept_rows)]
        if not free:
            raise ValueError(f"paths in {source} contain spaces, commas, semicolons and tabs: no delimiter is left")
        kept_rows = [(name, _DELIMITERS.sub(free[0], labels)) for name, labels in kept_rows]
        report.notes.append(f"paths contain spaces: set delimiter={free[0]!r} in the VideoDataset that reads this list")
    write_text_atomically(out, "".join(f"{name}{labels}\n" for name, labels in kept_rows))
    report.notes.insert(0, f"{out}: {len(kept_rows)} videos")
    return report


def check_videos(root: Path, names: Sequence[str], record: Path, settings: CheckSettings) -> dict[str, Probe]:
    """Open videos, or reuse the result of an earlier call if size and modification time are unchanged.

    If the process is killed, at most half a minute of work is lost.

    Args:
        root: Folder of the videos.
        names: Paths of the videos relative to ``root``.
        record: JSON file that stores the results.
        settings: Settings for checking videos.

    Returns:
        Result for each name.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    known = read_record(record)
    stamps: dict[str, list[int]] = {}
    found: dict[str, Probe] = {}
    # Reuse results of an earlier call for files that have not changed since.
    for name in names:
        try:
            check_file(root / name)
            status = (root / name).stat()
        except OSError as error:
            found[name] = Probe(0, str(error))
            continue
        stamps[name] = [status.st_size, status.st_mtime_ns]
        if (probe := _recall(known.get(name), stamps[name], settings.every_frame)) is not None:
            found[name] = probe
    paths = {str(root / name): name for name in names if name not in found}
    if not paths:
        return found
    # Open the others, and save the record now and then, since a large set takes hours.
    saved = time.monotonic()
    probed = probe_videos(paths, workers=settings.workers, every_frame=settings.every_frame)
    try:
        for path, probe in track(probed, f"opening videos of '{root}'", "videos", len(paths)):
            name = paths[path]
            found[name] = probe
            known[name] = [*stamps[name], settings.every_frame, probe.frames, probe.fault]
            if time.monotonic() - saved > _SAVE_EVERY:
                write_text_atomically(record, json.dumps(known))
                saved = time.monotonic()
    finally:
        write_text_atomically(record, json.dumps(known))
    return found


def _recall(entry: Any, stamp: list[int], every_frame: bool) -> Probe | None:
    if not isinstance(entry, list) or len(entry) != 5 or entry[:2] != stamp:
        return None
    thorough, frames, fault = entry[2:]
    return Probe(frames, fault) if thorough or not every_frame or fault else None


def _by_key(paths: Iterable[Path], report: FileReport) -> dict[str, Path]:
    """Index videos by 'class/name' in lower case: UCF101's lists and files capitalize one class differently."""
    there: dict[str, Path] = {}
    for path in paths:
        key = f"{path.parent.name}/{path.stem}".lower()
        if key in there:
            report.add(TWICE, str(path), f"using {there[key]}")
        else:
            there[key] = path
    return there


def _count_frames(probes: dict[str, Probe], report: FileReport) -> dict[str, int]:
    """Return the number of frames of each readable video; the others are reported."""
    for name, probe in sorted(probes.items()):
        if probe.fault:
            report.add(UNREADABLE, name, probe.fault)
    return {name: probe.frames for name, probe in probes.items() if not probe.fault}


def _long_enough(frames: dict[str, int], names: Iterable[str], least: int, report: FileReport) -> set[str]:
    """Return the readable videos with enough frames to train on; the others are reported."""
    readable = sorted(set(names) & set(frames))
    for name in readable:
        if frames[name] < least:
            report.add(SHORT, name, f"{frames[name]} of {least} frames")
    return {name for name in readable if frames[name] >= least}


def probe_videos(paths: Iterable[str], *, workers: int = 1, every_frame: bool = False) -> Iterator[tuple[str, Probe]]:
    """Open many videos in several processes; a video that crashes its process does not affect the others.

    decord 0.6 does not raise for every damaged file: some end the process with a segmentation fault.

    Args:
        paths: Video files.
        workers: Number of processes. Defaults to 1.
        every_frame: Whether to decode all frames, not just the first and the last. Defaults to False.

    Yields:
        Pairs of (path, result), in the order of completion.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    # Each pool has one process, so that a crash breaks only one pool, which is then replaced.
    start = partial(ProcessPoolExecutor, 1, mp_context=get_context("spawn"), initializer=silence_stderr)
    idle: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
    for _ in range(workers):
        idle.put(start())

    def probe(path: str) -> Probe:
        process = idle.get()
        try:
            return process.submit(open_video, path, every_frame).result()
        except BrokenProcessPool:
            process = start()
            return Probe(0, DEADLY)
        finally:
            idle.put(process)

    with ThreadPoolExecutor(workers) as pool:  # the threads only wait for the processes
        futures = {pool.submit(probe, path): path for path in dict.fromkeys(paths)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # a caller that stops early does not wait for the rest
            while not idle.empty():
                idle.get().shutdown(wait=False)
