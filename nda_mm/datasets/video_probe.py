"""Opening video files in processes of their own, to learn which of them training could not read."""

from __future__ import annotations

import faulthandler
import io
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

#: Where in decord's own sources an error arose, which tells a user nothing; and the stack that follows it.
_SOURCE_PLACE = re.compile(r"^.*\.(?:cc|h):\d+:\s*")


@dataclass(frozen=True)
class Probe:
    """What was found in a video file: its number of frames, or why it cannot be read."""

    frames: int
    fault: str = ""


def reason_of(error: BaseException) -> str:
    """The first line of an error of decord's without the places in its sources.

    Example:
        >>> reason_of(RuntimeError("[06:39:02] /src/video/reader.cc:83: Check failed: n >= 0\\nStack trace:"))
        'Check failed: n >= 0'
    """
    lines = str(error).strip().splitlines()
    return _SOURCE_PLACE.sub("", lines[0]).strip() if lines else type(error).__name__


def probe_video(path: str, every_frame: bool = False) -> Probe:
    """Open one video as mmaction2 does, count its frames, and decode the first and the last, or all.

    Do not call this in a process that matters: decord may end it. See :func:`probe_videos`.

    Args:
        path: The file.
        every_frame: Whether all frames are decoded.

    Returns:
        The number of frames, or the fault.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)  # ffmpeg's remarks on damaged files; the fault says enough
    try:
        # From bytes, as DecordInit reads: some cut-off files are harmless when opened by their path, but not so.
        reader = decord.VideoReader(io.BytesIO(Path(path).read_bytes()), num_threads=1)
        frames = len(reader)
        if frames == 0:
            return Probe(0, "no frames")
        for index in range(frames) if every_frame else sorted({0, frames - 1}):
            reader[index]
    except Exception as error:  # whatever decord makes of a damaged file
        return Probe(0, reason_of(error))
    return Probe(frames)


def probe_videos(
    paths: Iterable[str],
    *,
    workers: int = 1,
    every_frame: bool = False,
    probe: Callable[[str, bool], Probe] = probe_video,
) -> Iterator[tuple[str, Probe]]:
    """Probe many videos in other processes; one that dies of a file costs that file alone.

    Args:
        paths: The files.
        workers: Number of processes, at least 1. Defaults to 1.
        every_frame: As in :func:`probe_video`. Defaults to False.
        probe: What is done with a file. Defaults to :func:`probe_video`.

    Yields:
        (path, what was found), in the order in which they are done.

    Raises:
        ValueError: If ``workers`` is below 1.
        ModuleNotFoundError: If decord is not installed.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, but got {workers}")
    if find_spec("decord") is None:
        raise ModuleNotFoundError("videos are looked at by decord, which is not installed: pip install decord")
    waiting = list(dict.fromkeys(paths))
    while waiting:
        done: set[str] = set()
        for path, found in _probe_together(waiting, workers, every_frame, probe):
            done.add(path)
            yield path, found
        waiting = [path for path in waiting if path not in done]
        # A process has died. Files are handed out in order, so its file is among the first that are left; each of those
        # is now looked at alone.
        suspects, waiting = waiting[: 2 * workers + 2], waiting[2 * workers + 2 :]
        for path in suspects:
            yield path, _probe_alone(path, every_frame, probe)


def _probe_together(
    paths: list[str], workers: int, every_frame: bool, probe: Callable[[str, bool], Probe]
) -> Iterator[tuple[str, Probe]]:
    """All that are done before a process dies, if one does; told of by its video, it need not print its stack."""
    with ProcessPoolExecutor(min(workers, len(paths)), initializer=faulthandler.disable) as pool:
        futures: dict[Future[Probe], str] = {}
        try:
            for path in paths:
                futures[pool.submit(probe, path, every_frame)] = path
        except BrokenProcessPool:
            pass  # it died while files were still handed out; what was done by then comes below
        try:
            for future in as_completed(futures):
                if not isinstance(future.exception(), BrokenProcessPool):
                    yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops listening need not wait for the rest


def _probe_alone(path: str, every_frame: bool, probe: Callable[[str, bool], Probe]) -> Probe:
    with ProcessPoolExecutor(1, initializer=faulthandler.disable) as pool:
        try:
            return pool.submit(probe, path, every_frame).result()
        except BrokenProcessPool:
            return Probe(0, "decord dies of it (the file is damaged or cut off)")
