"""The decoded frames in the results of mmaction2's pipelines."""

from __future__ import annotations

from typing import Any

import numpy as np


def read_colour_frames(results: dict[str, Any], reader: str) -> list[np.ndarray]:
    """The frames under ``imgs``, if they have three channels.

    Args:
        results: Of a pipeline, after the decoder and before ``FormatShape``.
        reader: Name of the transform, for the messages.

    Returns:
        The frames, each (H, W, 3).

    Raises:
        KeyError: If nothing has been decoded.
        TypeError: If there are no frames but something else.
        ValueError: If a frame has not three channels, as optical flow has not.

    Example:
        >>> len(read_colour_frames({"imgs": [np.zeros((4, 5, 3))] * 2}, "Reader"))
        2
    """
    if "imgs" not in results:
        raise KeyError(f"{reader} reads 'imgs', but the results hold {sorted(results)}; it stands after the decoder")
    frames = results["imgs"]
    if not isinstance(frames, (list, tuple)) or not all(isinstance(frame, np.ndarray) for frame in frames):
        raise TypeError(
            f"{reader} expects a list of frames under 'imgs', but got {type(frames).__name__}; it stands before "
            "FormatShape"
        )
    shapes = {frame.shape for frame in frames if frame.ndim != 3 or frame.shape[2] != 3}
    if shapes:
        raise ValueError(f"{reader} is for colour frames of (H, W, 3), but got {sorted(shapes)}; is this optical flow?")
    return list(frames)
