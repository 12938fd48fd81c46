"""Processes side by side, which a signal stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from nda_mm.utils.processes import on_sigterm

__all__ = ["run_logged", "run_side_by_side"]

#: How a process ends that was asked to stop: by itself, when it had saved what it needs, or before it could listen.
_STOPPED = (128 + signal.SIGTERM, -signal.SIGTERM)
#: Seconds that it has for that.
_GRACE = 60.0

T = TypeVar("T")


def run_side_by_side(work: Callable[[T, threading.Event], bool], items: Sequence[T], jobs: int = 1) -> list[T]:
    """Do ``work`` on every item, ``jobs`` at a time, and go on after a failure.

    Args:
        work: Gets an item, and an event that SIGTERM to this process sets: what runs then must end, and nothing more be
            started. Returns whether nothing went wrong.
        items: In this order.
        jobs: At least 1.

    Returns:
        The items whose work has failed.

    Raises:
        ValueError: If ``jobs`` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be at least 1, but got {jobs}")
    stopping = threading.Event()
    with ThreadPoolExecutor(jobs) as pool, on_sigterm(stopping.set):
        try:
            done = list(pool.map(lambda item: work(item, stopping), items))
        except BaseException:
            stopping.set()  # leaving by Ctrl-C must not leave processes behind, nor start more
            raise
    return [item for item, succeeded in zip(items, done) if not succeeded]


def run_logged(
    words: Sequence[str],
    log: Path,
    stopping: threading.Event,
    *,
    name: str,
    variables: Mapping[str, str] | None = None,
) -> bool | None:
    """Run a command, with all it says added to a file.

    When the event is set the process gets SIGTERM, and a minute to end by itself.

    Args:
        words: The command.
        log: The file.
        stopping: See :func:`run_side_by_side`.
        name: What to call it if it fails.
        variables: Added to the environment. Defaults to None.

    Returns:
        Whether it ended well; None if it was stopped. A failure's last lines are printed.
    """
    with log.open("a") as output:
        status = _run(words, output, {**os.environ, **(variables or {})}, stopping)
    if status in _STOPPED and stopping.is_set():
        return None
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        print(f"{name}: ended with status {status}\n{end}", file=sys.stderr, flush=True)
    return status == 0


def _run(words: Sequence[str], output: IO[str], environment: Mapping[str, str], stopping: threading.Event) -> int:
    """Run a command; its exit status, or that of a stopped one if it had to be killed."""
    with subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
        while not stopping.is_set():
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                pass
        process.terminate()
        try:
            return process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return -signal.SIGTERM
