"""Opening video files in processes of their own, to learn which of them training could not read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from queue import SimpleQueue

from . import probe_process

DEADLY = "decord dies of it; the file is damaged or cut off"


@dataclass(frozen=True)
class Probe:
    """What was found in a video file: its number of frames, or why it cannot be read."""

    frames: int
    fault: str = ""


class Prober:
    """Opens videos one after another in another process, which is started anew when a video has ended it.

    decord 0.6 does not refuse every damaged file: of some it dies, by a segmentation fault that no ``except`` catches.

    Args:
        every_frame: Whether all frames are decoded, not just the first and the last. Defaults to False.
    """

    def __init__(self, every_frame: bool = False) -> None:
        self.every_frame = every_frame
        self._process: subprocess.Popen[str] | None = None

    def __call__(self, path: str) -> Probe:
        """Look at one video.

        Args:
            path: The file.

        Returns:
            What was found.

        Raises:
            ModuleNotFoundError: If the process cannot be started, for want of decord.
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
                "videos are looked at by decord, which cannot be imported: pip install decord, and see what "
                f"`{sys.executable} -c 'import decord'` says"
            )
        self._process = process
        return process


def probe_videos(paths: Iterable[str], *, workers: int = 1, every_frame: bool = False) -> Iterator[tuple[str, Probe]]:
    """Look at many videos in several processes; one of which a process dies costs no other.

    Args:
        paths: The files.
        workers: Number of processes, at least 1. Defaults to 1.
        every_frame: As in :class:`Prober`. Defaults to False.

    Yields:
        (path, what was found), in the order in which they are done.

    Raises:
        ValueError: If ``workers`` is below 1.
        ModuleNotFoundError: If decord is not installed.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, but got {workers}")
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
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops listening need not wait for the rest,
            for prober in probers:
                prober.close()  # nor for what is being looked at
            pool.shutdown(wait=True)
            for prober in probers:
                prober.close()  # one may have been started meanwhile
