"""Videos looked at once: what was found is kept in a file, and only new or changed videos are opened again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nda_mm.utils.files import check_file, write_text_atomically

from .probe import Probe, probe_videos

#: Seconds between the times that the record is saved.
_SAVE_EVERY = 30.0


def check_videos(
    root: Path,
    names: Sequence[str],
    record: Path,
    *,
    workers: int = 1,
    every_frame: bool = False,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[str, Probe]:
    """Look at videos, or recall what was found in them when neither size nor time of change differ.

    An interrupted run loses at most half a minute of work.

    Args:
        root: Folder of the videos.
        names: Their paths relative to ``root``.
        record: JSON file that keeps what was found; damaged or of another make, it is written anew.
        workers: Number of processes. Defaults to 1.
        every_frame: Whether all frames are decoded, not just the first and the last; what was found so serves both
            ways. Defaults to False.
        progress: Called with the number of videos looked at and the number to look at, after each that is opened.

    Returns:
        What was found, for each name.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    known = _read_record(record)
    stamps: dict[str, list[int]] = {}
    found: dict[str, Probe] = {}
    for name in names:
        try:
            check_file(root / name)
            status = (root / name).stat()
        except OSError as error:
            found[name] = Probe(0, str(error))
            continue
        stamps[name] = [status.st_size, status.st_mtime_ns]
        if (probe := _recall(known.get(name), stamps[name], every_frame)) is not None:
            found[name] = probe
    paths = {str(root / name): name for name in names if name not in found}
    saved, total = time.monotonic(), len(paths)
    try:
        for number, (path, probe) in enumerate(probe_videos(paths, workers=workers, every_frame=every_frame), 1):
            name = paths[path]
            found[name] = probe
            known[name] = [*stamps[name], every_frame, probe.frames, probe.fault]
            if progress is not None:
                progress(number, total)
            if time.monotonic() - saved > _SAVE_EVERY:
                _write_record(record, known)
                saved = time.monotonic()
    finally:
        if paths:
            _write_record(record, known)
    return found


def _recall(entry: Any, stamp: list[int], every_frame: bool) -> Probe | None:
    if not isinstance(entry, list) or len(entry) != 5 or entry[:2] != stamp:
        return None
    thorough, frames, fault = entry[2:]
    return Probe(frames, fault) if thorough or not every_frame or fault else None


def _read_record(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write_record(record: Path, known: dict[str, Any]) -> None:
    write_text_atomically(record, json.dumps(known, ensure_ascii=False, indent=0))
