"""Video files opened in separate processes, to find those that training could not read.

Such a process imports this module, which therefore loads neither torch nor a host.
"""

from __future__ import annotations

import io
import multiprocessing
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from queue import SimpleQueue

DEADLY = "decord crashes on it; the file is damaged or cut off"
#: Where in decord's own sources an error arose.
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
    return _SOURCE_PLACE.sub("", lines[0]).strip().rstrip(".") if lines else type(error).__name__


def open_video(path: str, every_frame: bool = False) -> Probe:
    """Open one video as mmaction2 does, count its frames, and decode the first and the last, or all.

    A damaged file can end the process.

    Args:
        path: The file.
        every_frame: Whether all frames are decoded.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        # From bytes, as DecordInit reads: some cut-off files are harmless only when they are opened by their path.
        with open(path, "rb") as file:
            reader = decord.VideoReader(io.BytesIO(file.read()), num_threads=1)
        frames = len(reader)
        for index in range(frames) if every_frame else sorted({0, frames - 1}):
            reader[index]
    except Exception as error:  # whatever decord makes of a damaged file
        return Probe(0, reason_of(error))
    return Probe(frames)


class Prober:
    """Opens videos one after another in another process, which is restarted when a video has crashed it.

    decord 0.6 does not refuse every damaged file: some end the process by a segmentation fault.
    """

    def __init__(self, every_frame: bool = False) -> None:
        self.every_frame = every_frame
        self._process: ProcessPoolExecutor | None = None

    def __call__(self, path: str) -> Probe:
        """Open one video."""
        if self._process is None:
            self._process = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
        try:
            return self._process.submit(open_video, path, self.every_frame).result()
        except BrokenProcessPool:
            self.close()
            return Probe(0, DEADLY)

    def close(self) -> None:
        """Let the process end after the video that it is reading."""
        process, self._process = self._process, None
        if process is not None:
            process.shutdown(wait=False, cancel_futures=True)


def probe_videos(paths: Iterable[str], *, workers: int = 1, every_frame: bool = False) -> Iterator[tuple[str, Probe]]:
    """Open many videos in several processes; one that crashes its process costs no other.

    Args:
        paths: The files.
        workers: Number of processes. Defaults to 1.
        every_frame: Whether all frames are decoded, not just the first and the last. Defaults to False.

    Yields:
        (path, what was found), in the order in which they are done.

    Raises:
        ModuleNotFoundError: If decord is not installed.
    """
    waiting = list(dict.fromkeys(paths))
    if not waiting:
        return
    probers = [Prober(every_frame) for _ in range(min(workers, len(waiting)))]
    idle: SimpleQueue[Prober] = SimpleQueue()
    for prober in probers:
        idle.put(prober)

    def probe(path: str) -> Probe:
        prober = idle.get()
        try:
            return prober(path)
        finally:
            idle.put(prober)

    with ThreadPoolExecutor(len(probers)) as pool:  # the threads only wait for the processes
        futures = {pool.submit(probe, path): path for path in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)  # a caller that stops does not wait for the rest
            for prober in probers:
                prober.close()
