"""One video file opened by decord, in a module that starts fast: it loads neither torch nor a host."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass

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


def silence_stderr() -> None:
    """Drop what decord and ffmpeg print about damaged files; for processes of their own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
