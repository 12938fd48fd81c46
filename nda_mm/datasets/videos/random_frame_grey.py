"""Frames of a clip made grey one by one, so that colour cannot be followed from frame to frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from nda_mm.registry import TRANSFORMS

from .clip_frames import read_colour_frames


@TRANSFORMS.register_module()
class RandomFrameGrey(BaseTransform):
    """Replace frames by one of their own colour channels, each frame by a draw of its own.

    A grey frame shows the red, the green or the blue channel three times, drawn evenly; this is no luminance. It keeps
    a network from solving the prediction by the drift of colours.

    Source: "random greyscale" in Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019
    workshops, https://arxiv.org/abs/1909.04656, with probability 0.5 and the channel as in the authors' code,
    https://github.com/TengdaHan/DPC. mmaction2 has no counterpart.

    Draws come from numpy's global generator, as those of mmaction2's pipelines.

    Modified keys:
        ``imgs``: frames of (H, W, 3), in any order of channels (all of mmaction2's decoders give RGB); frames that stay
        are handed on, grey ones are new arrays.

    Args:
        prob: Probability that a frame becomes grey, in [0, 1]. Defaults to 0.5.

    Raises:
        ValueError: If ``prob`` is not within 0 and 1.

    Example:
        >>> frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> grey = RandomFrameGrey(prob=1.0)({"imgs": [frame]})["imgs"][0]
        >>> bool((grey == grey[..., :1]).all()), bool((grey[0, 0, 0] == frame[0, 0]).any())
        (True, True)
    """

    def __init__(self, prob: float = 0.5) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be within 0 and 1, but got {prob!r}")
        self.prob = prob

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make frames of ``results["imgs"]`` grey.

        Raises:
            KeyError: If there are no ``imgs`` yet.
            TypeError, ValueError: If they are no frames of three channels.
        """
        frames = read_colour_frames(results, type(self).__name__)
        chosen = np.random.rand(len(frames)) < self.prob  # noqa: NPY002 -- the pipelines' own generator
        channels = np.random.randint(3, size=len(frames))  # noqa: NPY002
        results["imgs"] = [
            np.repeat(frame[..., channel : channel + 1], 3, axis=-1) if grey else frame
            for frame, grey, channel in zip(frames, chosen, channels)
        ]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"
