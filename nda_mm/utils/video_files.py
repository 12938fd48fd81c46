"""Open a single video file with decord. The module is quick to import: it loads neither torch nor a host."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass

#: Place in decord's source code, at the start of its error messages.
_SOURCE_PLACE = re.compile(r"^.*\.(?:cc|h):\d+:\s*")


@dataclass(frozen=True)
class Probe:
    """Result of opening a video file: its number of frames, or why it cannot be read."""

    frames: int
    fault: str = ""


def reason_of(error: BaseException) -> str:
    """Return the first line of a decord error, without the place in decord's source code.

    Example:
        >>> reason_of(RuntimeError("[06:39:02] /src/video/reader.cc:83: Check failed: n >= 0\\nStack trace:"))
        'Check failed: n >= 0'
    """
    lines = str(error).strip().splitlines()
    return _SOURCE_PLACE.sub("", lines[0]).strip().rstrip(".") if lines else type(error).__name__


def open_video(path: str, every_frame: bool = False) -> Probe:
    """Open a video as mmaction2 does, count its frames, and decode the first and last frame, or all frames.

    A damaged file can crash the process.

    Args:
        path: The video file.
        every_frame: Whether to decode all frames. Defaults to False.
    """
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        # Read from bytes, as DecordInit does: some truncated files cause no error only if they are opened by path.
        with open(path, "rb") as file:
            reader = decord.VideoReader(io.BytesIO(file.read()), num_threads=1)
        frames = len(reader)
        for index in range(frames) if every_frame else sorted({0, frames - 1}):
            reader[index]
    except Exception as error:  # decord raises different errors for damaged files
        return Probe(0, reason_of(error))
    return Probe(frames)


def silence_stderr() -> None:
    """Discard what decord and ffmpeg print about damaged files. Only for processes that do nothing else."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
