"""Writing clips as video files with the list of labels that mmaction2's ``VideoDataset`` reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.toy.moving_digits import MovingDigits


def list_name(split: str) -> str:
    """The name that the recipes look for: as mmaction2 calls its lists.

    Example:
        >>> list_name("train")
        'train_list_videos.txt'
    """
    return f"{split}_list_videos.txt"


def write_videos(
    clips: MovingDigits, folder: str | Path, *, fps: float = 25.0, progress: Callable[[int], Any] | None = None
) -> Path:
    """Write every clip as Motion JPEG, and then the list; a folder that has its list is complete.

    JPEG rounds: read back, grey values are off by a few steps of 255. Every frame is a key frame, so that any of them
    is decoded without those before it.

    Args:
        clips: The clips; they go to ``folder/<split>/<number>_<class>.avi``.
        folder: Where to. What is there is written anew.
        fps: Frames a second that a player is told. Defaults to 25.
        progress: Called with the number of clips written, after each.

    Returns:
        The list: a path relative to ``folder`` and a label in each line.

    Raises:
        ModuleNotFoundError: If OpenCV is not installed.
        OSError: If OpenCV can't write such files here.
    """
    try:
        import cv2
    except ImportError as error:
        raise ModuleNotFoundError(f"videos are written by OpenCV, which cannot be imported ({error})") from error

    folder = Path(folder)
    (folder / clips.split).mkdir(parents=True, exist_ok=True)
    annotations = folder / list_name(clips.split)
    annotations.unlink(missing_ok=True)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    lines = []
    for index in range(len(clips)):
        clip = clips.get_data_info(index)
        name = f"{clips.split}/{clip['clip']:06d}_{clips.metainfo['classes'][clip['label']]}.avi"
        writer = cv2.VideoWriter(str(folder / name), codec, fps, (clips.size, clips.size))
        if not writer.isOpened():
            raise OSError(f"OpenCV could not open {folder / name} for writing Motion JPEG; is the folder writable?")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 98)
        for frame in clip["array"]:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))  # OpenCV's order is blue, green, red
        writer.release()
        lines.append(f"{name} {clip['label']}\n")
        if progress is not None:
            progress(index + 1)
    annotations.write_text("".join(lines))
    return annotations
