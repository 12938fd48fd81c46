"""Video files opened in separate processes, to find those that training could not read."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from nda_mm.datasets.decoding import read_record
from nda_mm.utils.files import check_file, write_text_atomically
from nda_mm.utils.messages import Progress

from . import probe_process

DEADLY = "decord crashes on it; the file is damaged or cut off"
#: Seconds between the times that the record is saved.
_SAVE_EVERY = 30.0


@dataclass(frozen=True)
class Probe:
    """What was found in a video file: its number of frames, or why it cannot be read."""

    frames: int
    fault: str = ""


class Prober:
    """Opens videos one after another in another process, which is restarted when a video has crashed it.

    decord 0.6 does not refuse every damaged file: some end the process by a segmentation fault.

    Args:
        every_frame: Whether all frames are decoded, not just the first and the last. Defaults to False.
    """

    def __init__(self, every_frame: bool = False) -> None:
        self.every_frame = every_frame
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, path: str) -> Probe:
        """Open one video.

        Raises:
            ModuleNotFoundError: If decord is not installed.
        """
        process = self._process or self._start()
        assert process.stdin is not None and process.stdout is not None
        try:
            process.stdin.write(json.dumps([path, self.every_frame]) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.close()
            return Probe(0, DEADLY)
        return Probe(*json.loads(answer))

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, probe_process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            process.kill()
            process.communicate()
            raise ModuleNotFoundError(
                "videos are read by decord, which cannot be imported: pip install decord, and see what "
                f"`{sys.executable} -c 'import decord'` says"
            )
        self._process = process
        return process


def probe_videos(paths: Iterable[str], *, workers: int = 1, every_frame: bool = False) -> Iterator[tuple[str, Probe]]:
    """Open many videos in several processes; one that crashes its process costs no other.

    Args:
        paths: The files.
        workers: Number of processes. Defaults to 1.
        every_frame: As in :class:`Prober`. Defaults to False.

    Yields:
        (path, what was found), in the order in which they are done.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    waiting = list(dict.fromkeys(paths))
    probers = [Prober(every_frame) for _ in range(min(workers, len(waiting)))]
    idle: SimpleQueue[Prober] = SimpleQueue()
    for prober in probers:
        idle.put(prober)

    def look(path: str) -> Probe:
        prober = idle.get()
        try:
            return prober(path)
        finally:
            idle.put(prober)

    if not waiting:
        return
    with ThreadPoolExecutor(len(probers)) as pool:  # the threads only wait for the processes
        futures = {pool.submit(look, path): path for path in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # a caller that stops does not wait for the rest,
            for prober in probers:
                prober.close()  # nor for the videos that are open
            pool.shutdown(wait=True)
            for prober in probers:
                prober.close()  # one may have been started meanwhile


def check_videos(
    root: Path,
    names: Sequence[str],
    record: Path,
    *,
    workers: int = 1,
    every_frame: bool = False,
) -> dict[str, Probe]:
    """Open videos, or take the result of an earlier call where neither size nor modification time differ.

    An interrupted call loses at most half a minute of work.

    Args:
        root: Folder of the videos.
        names: Their paths relative to ``root``.
        record: JSON file that keeps the results.
        workers: Number of processes. Defaults to 1.
        every_frame: Whether all frames are decoded, not just the first and the last. Defaults to False.

    Returns:
        What was found, for each name.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    known = read_record(record)
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
    probed = probe_videos(paths, workers=workers, every_frame=every_frame)
    saved = time.monotonic()
    try:
        with Progress(f"opening videos of '{root}'", len(paths), "videos") as progress:
            for number, (path, probe) in enumerate(probed, 1):
                name = paths[path]
                found[name] = probe
                known[name] = [*stamps[name], every_frame, probe.frames, probe.fault]
                progress.update(number)
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


def _write_record(record: Path, known: dict[str, Any]) -> None:
    write_text_atomically(record, json.dumps(known, ensure_ascii=False, indent=0))
