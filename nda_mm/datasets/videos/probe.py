"""Video files opened in separate processes, to find those that training could not read."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from queue import SimpleQueue

from nda_mm.utils.video_files import Probe, open_video, silence_stderr

DEADLY = "decord crashes on it; the file is damaged or cut off"


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
            spawn = multiprocessing.get_context("spawn")
            self._process = ProcessPoolExecutor(1, mp_context=spawn, initializer=silence_stderr)
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
