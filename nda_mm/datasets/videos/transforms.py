"""The frames of Dense Predictive Coding: one window of a video, cut into blocks that follow each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform

from nda_mm.registry import TRANSFORMS

_TOO_SHORT = ("loop", "refuse")


@TRANSFORMS.register_module()
class SampleBlocks(BaseTransform):
    """Choose blocks of frames without a gap between them, in place of mmaction2's ``SampleFrames``.

    Frame j of block k of a window that starts at s is frame ``s + (k * block_len + j) * frame_interval``. The start is
    uniform over all windows that the clip holds, or the middle one with ``test_mode``. The blocks stand where mmaction2
    keeps clips: ``FormatShape(input_format="NCTHW")`` makes (num_blocks, C, block_len, H, W) of them.

    A clip is too short if it has fewer than ``(num_blocks * block_len - 1) * frame_interval + 1`` frames: 118 for the
    defaults, which are DPC's. 'loop' starts at its first frame and goes on from there after its last, as
    ``SampleFrames`` does; 'refuse' raises when the clip is read. **Files are read while training runs**, so refuse only
    where the list was made without short clips, as ``tools/prepare_data.py ... --min-frames 118`` makes it; otherwise
    one short file ends an epoch. Blocks k and k + p of a looped clip are the same, and stand among each other's
    negatives, where its length divides p * block_len * frame_interval: no concern for clips of more than a few blocks.

    Source: Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019 workshops,
    https://arxiv.org/abs/1909.04656. The authors' code, https://github.com/TengdaHan/DPC, drops clips of 120 frames or
    fewer and never starts in the last three places; here every window counts.

    Draws come from numpy's global generator, as those of mmaction2's pipelines.

    Required keys:
        ``total_frames``, ``start_index``; ``array`` where frames lie in memory.

    Added keys:
        ``frame_inds`` (num_blocks * block_len,), ``clip_len``, ``frame_interval``, ``num_clips``. A looped clip in
        memory has its ``array`` replaced by the chosen frames, and ``frame_inds`` count those: ``ArrayDecode`` would
        give one frame's memory out twice, which ``Flip``, working in place, would turn round and back.

    Args:
        num_blocks: Blocks in a window, at least 1. Defaults to 8.
        block_len: Frames in a block, at least 1. Defaults to 5.
        frame_interval: From one chosen frame to the next, in frames, at least 1. Defaults to 3.
        too_short: 'loop' or 'refuse'. Defaults to 'loop'.
        test_mode: Whether the window is the middle one. Defaults to False.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> sample = SampleBlocks(num_blocks=2, block_len=3, frame_interval=2, test_mode=True)
        >>> sample.span, sample({"total_frames": 13, "start_index": 0})["frame_inds"].tolist()
        (11, [1, 3, 5, 7, 9, 11])
    """

    def __init__(
        self,
        num_blocks: int = 8,
        block_len: int = 5,
        frame_interval: int = 3,
        too_short: str = "loop",
        test_mode: bool = False,
    ) -> None:
        for name, value in (("num_blocks", num_blocks), ("block_len", block_len), ("frame_interval", frame_interval)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, but got {value!r}")
        if too_short not in _TOO_SHORT:
            raise ValueError(f"too_short must be one of {', '.join(_TOO_SHORT)}, but got {too_short!r}")
        self.num_blocks = num_blocks
        self.block_len = block_len
        self.frame_interval = frame_interval
        self.too_short = too_short
        self.test_mode = test_mode

    @property
    def span(self) -> int:
        """Frames from the first to the last of a window, both counted."""
        return (self.num_blocks * self.block_len - 1) * self.frame_interval + 1

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the places of the window's frames.

        Raises:
            KeyError: If ``total_frames`` or ``start_index`` is missing.
            ValueError: If the clip is empty, or too short and to be refused; the clip is named.
        """
        for key in ("total_frames", "start_index"):
            if key not in results:
                raise KeyError(
                    f"SampleBlocks reads {key!r}, but the results hold {sorted(results)}; it stands after the reader "
                    "(DecordInit or the like) and before the decoder"
                )
        total = int(results["total_frames"])
        short = total < self.span
        if total < 1 or (short and self.too_short == "refuse"):
            raise ValueError(self._refusal(results, total))
        start = 0 if short else self._start(total)
        frames = (start + np.arange(self.num_blocks * self.block_len) * self.frame_interval) % total
        if short and "array" in results:
            results["array"] = results["array"][frames]
            frames = np.arange(len(frames))
        results["frame_inds"] = (frames + results["start_index"]).astype(np.int32)
        results["clip_len"] = self.block_len
        results["frame_interval"] = self.frame_interval
        results["num_clips"] = self.num_blocks
        return results

    def _start(self, total: int) -> int:
        last = total - self.span
        return last // 2 if self.test_mode else int(np.random.randint(last + 1))  # noqa: NPY002 -- the pipelines' own

    def _refusal(self, results: dict[str, Any], total: int) -> str:
        clip = results.get("filename") or results.get("frame_dir") or f"clip {results.get('sample_idx', '(unnamed)')}"
        needed = (
            f"{clip} has {total} frames, but {self.num_blocks} blocks of {self.block_len} frames with a frame_interval "
            f"of {self.frame_interval} span {self.span}"
        )
        if total < 1:
            return f"{needed}; leave it out of the list"
        return (
            f"{needed}. Set too_short='loop' to go round in it, ask for fewer or shorter blocks or a smaller "
            f"frame_interval, or leave such clips out of the list (tools/prepare_data.py ... --min-frames {self.span})"
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_blocks={self.num_blocks}, block_len={self.block_len}, "
            f"frame_interval={self.frame_interval}, too_short={self.too_short!r}, test_mode={self.test_mode})"
        )
