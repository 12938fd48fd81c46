"""A process that opens videos and may die of them; :mod:`nda_mm.datasets.videos.probe` starts it and asks it.

Run as a script, it knows decord and the standard library alone, so that it starts in a fraction of a second. It reads
one JSON list (path, whether to decode every frame) a line and answers with one JSON list (frames, fault) a line.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys

#: Where in decord's own sources an error arose, which tells a user nothing.
_SOURCE_PLACE = re.compile(r"^.*\.(?:cc|h):\d+:\s*")


def reason_of(error: BaseException) -> str:
    """The first line of an error of decord's without the places in its sources.

    Example:
        >>> reason_of(RuntimeError("[06:39:02] /src/video/reader.cc:83: Check failed: n >= 0\\nStack trace:"))
        'Check failed: n >= 0'
    """
    lines = str(error).strip().splitlines()
    return _SOURCE_PLACE.sub("", lines[0]).strip().rstrip(".") if lines else type(error).__name__


def open_video(path: str, every_frame: bool) -> tuple[int, str]:
    """Open one video as mmaction2 does, count its frames, and decode the first and the last, or all.

    Args:
        path: The file.
        every_frame: Whether all frames are decoded.

    Returns:
        The number of frames and an empty text, or 0 and what is wrong.
    """
    import decord

    try:
        # From bytes, as DecordInit reads: some cut-off files are harmless when opened by their path, but not so.
        with open(path, "rb") as file:
            reader = decord.VideoReader(io.BytesIO(file.read()), num_threads=1)
        frames = len(reader)
        if frames == 0:
            return 0, "no frames"
        for index in range(frames) if every_frame else sorted({0, frames - 1}):
            reader[index]
    except Exception as error:  # whatever decord makes of a damaged file
        return 0, reason_of(error)
    return frames, ""


def answer_requests() -> None:
    """Answer until the input ends; the first line says that decord is there."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)  # ffmpeg's remarks on damaged files; the fault says enough
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not pass for an answer
    print("ready", file=answers, flush=True)
    for request in sys.stdin:
        print(json.dumps(open_video(*json.loads(request))), file=answers, flush=True)


if __name__ == "__main__":
    sys.path.pop(0)  # this file's folder, whose modules are to hide no others
    answer_requests()
