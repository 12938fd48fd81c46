"""Transforms for mmaction2's pipelines: DPC's blocks of frames, and color changes for each frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from nda_mm.functional.checks import check_choice, check_within
from nda_mm.registry import TRANSFORMS

Range = tuple[float, float]
#: Weights of red, green and blue in luminance (ITU-R BT.601), as in torchvision and Pillow.
_LUMINANCE = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")


class _Step(BaseTransform):
    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({settings})"


@TRANSFORMS.register_module()
class SampleBlocks(_Step):
    """Sample blocks of frames without a gap between them, in place of mmaction2's ``SampleFrames``.

    Frame j of block k of a window starting at s is frame ``s + (k * block_len + j) * frame_interval``. The start is
    uniform over all windows of the clip, or the middle one with ``test_mode``. The blocks are what mmaction2 calls
    clips: ``FormatShape(input_format="NCTHW")`` stacks them to (num_blocks, C, block_len, H, W).

    A clip is too short if it has fewer than ``(num_blocks * block_len - 1) * frame_interval + 1`` frames: 118 for the
    defaults, which are DPC's. 'loop' starts at its first frame and starts over after its last, as ``SampleFrames``
    does. 'refuse' raises when the clip is read, that is, during training: use it only with a list without short clips,
    such as one made with ``tools/prepare_data.py ... --min-frames 118``. Blocks k and k + p of a looped clip are equal,
    and among each other's negatives, if its length divides p * block_len * frame_interval; clips of more than a few
    blocks are hardly affected.

    Source: Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019 workshops,
    https://arxiv.org/abs/1909.04656. The authors' code, https://github.com/TengdaHan/DPC, drops clips of 120 frames or
    fewer and never starts at the last three positions; here, every window is used.

    Random draws come from numpy's global generator, as in mmaction2's pipelines.

    Required keys:
        ``total_frames``, ``start_index``; ``array`` if the frames are in memory.

    Added keys:
        ``frame_inds`` (num_blocks * block_len,), ``clip_len``, ``frame_interval``, ``num_clips``. For a looped clip in
        memory, ``array`` is replaced by the sampled frames, which ``frame_inds`` then index: otherwise, frames would
        share memory, and ``Flip``, which works in place, would flip them twice.

    Args:
        num_blocks: Number of blocks in a window, at least 1. Defaults to 8.
        block_len: Number of frames in a block, at least 1. Defaults to 5.
        frame_interval: Distance between sampled frames, at least 1. Defaults to 3.
        too_short: What to do with clips that are too short, 'loop' or 'refuse'. Defaults to 'loop'.
        test_mode: Whether to use the middle window instead of a random one. Defaults to False.

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
        if min(num_blocks, block_len, frame_interval) < 1:
            raise ValueError(
                "num_blocks, block_len and frame_interval must be at least 1, but got "
                f"{num_blocks}, {block_len}, {frame_interval}"
            )
        check_choice(too_short, "too_short", ("loop", "refuse"))
        self.num_blocks = num_blocks
        self.block_len = block_len
        self.frame_interval = frame_interval
        self.too_short = too_short
        self.test_mode = test_mode

    @property
    def span(self) -> int:
        """Number of frames from the first to the last of a window, inclusive."""
        return (self.num_blocks * self.block_len - 1) * self.frame_interval + 1

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the indices of the window's frames.

        Raises:
            ValueError: If the clip is empty, or too short and ``too_short`` is 'refuse'; the message names the clip.
        """
        total = int(results["total_frames"])
        is_short = total < self.span
        if total < 1 or (is_short and self.too_short == "refuse"):
            clip = results.get("filename") or results.get("frame_dir") or f"clip {results.get('sample_idx')}"
            raise ValueError(
                f"{clip} has {total} frames, but {self.num_blocks} blocks of {self.block_len} frames with "
                f"frame_interval={self.frame_interval} span {self.span}; remove it from the list "
                f"(tools/prepare_data.py ... --min-frames {self.span}), or set too_short='loop' if it has any frames"
            )
        # Choose the start of the window; the frames of a short clip start over at its end.
        last = total - self.span
        if is_short:
            start = 0
        elif self.test_mode:
            start = last // 2
        else:
            start = int(np.random.randint(last + 1))  # noqa: NPY002 -- the pipelines' own generator
        frames = (start + np.arange(self.num_blocks * self.block_len) * self.frame_interval) % total
        if is_short and "array" in results:
            results["array"] = results["array"][frames]
            frames = np.arange(len(frames))
        results["frame_inds"] = (frames + results["start_index"]).astype(np.int32)
        results["clip_len"] = self.block_len
        results["frame_interval"] = self.frame_interval
        results["num_clips"] = self.num_blocks
        return results


@TRANSFORMS.register_module()
class RandomFrameGrey(_Step):
    """Replace random frames by one of their own color channels, drawn separately for each frame.

    A gray frame repeats its red, green or blue channel three times, each with equal probability; it is not the
    luminance. This keeps a network from solving the prediction task by the drift of colors.

    Source: "random grayscale" in Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019
    workshops, https://arxiv.org/abs/1909.04656, with probability 0.5 and the channel as in the authors' code,
    https://github.com/TengdaHan/DPC. mmaction2 has no counterpart.

    Random draws come from numpy's global generator, as in mmaction2's pipelines.

    Modified keys:
        ``imgs``: frames of (H, W, 3), in any order of channels (all of mmaction2's decoders return RGB). Unchanged
        frames are passed on, gray ones are new arrays.

    Args:
        prob: Probability that a frame is made gray, in [0, 1]. Defaults to 0.5.

    Raises:
        ValueError: If ``prob`` is not in [0, 1].

    Example:
        >>> frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        >>> gray = RandomFrameGrey(prob=1.0)({"imgs": [frame]})["imgs"][0]
        >>> bool((gray == gray[..., :1]).all()), bool((gray[0, 0, 0] == frame[0, 0]).any())
        (True, True)
    """

    def __init__(self, prob: float = 0.5) -> None:
        self.prob = check_within(prob, "prob", 0, 1)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make random frames of ``results["imgs"]`` gray.

        Raises:
            ValueError: If the frames do not have three channels.
        """
        frames = _read_frames(results)
        chosen = np.random.rand(len(frames)) < self.prob  # noqa: NPY002 -- the pipelines' own generator
        channels = np.random.randint(3, size=len(frames))  # noqa: NPY002
        results["imgs"] = [
            np.repeat(frame[..., channel : channel + 1], 3, axis=-1) if gray else frame
            for frame, gray, channel in zip(frames, chosen, channels)
        ]
        return results


@TRANSFORMS.register_module()
class FrameColorJitter(_Step):
    """Jitter brightness, contrast, saturation and hue, with one draw per frame or one per clip.

    Each draw has four strengths, uniform in their ranges, and a random order of the four operations.

    Source: Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019 workshops,
    https://arxiv.org/abs/1909.04656; the defaults are those of the authors' pretraining,
    https://github.com/TengdaHan/DPC; their fine-tuning uses ``prob=0.3, per_frame=False``. mmaction2's ``ColorJitter``
    draws the strengths once for all frames, draws the order only once in its lifetime, and turns the hue by 255/180 of
    the requested value.

    Random draws come from numpy's global generator, as in mmaction2's pipelines.

    Modified keys:
        ``imgs``: frames of (H, W, 3), RGB in [0, 255], which all of mmaction2's decoders return. All become new arrays.

    Args:
        brightness: Width x of the range [max(0, 1 - x), 1 + x], or the range itself. Defaults to 0.5.
        contrast: As ``brightness``. Defaults to 0.5.
        saturation: As ``brightness``. Defaults to 0.5.
        hue: Width x of the range [-x, x] in turns of the color circle, at most 0.5, or the range itself. Defaults to
            0.25.
        prob: Probability that a clip is jittered at all, in [0, 1]. Defaults to 1.0.
        per_frame: Whether each frame gets its own draw. Defaults to True.

    Raises:
        ValueError: If a width, a range or the probability is out of its bounds.

    Example:
        >>> clip = [np.full((2, 2, 3), 100, dtype=np.uint8), np.full((2, 2, 3), 50, dtype=np.uint8)]
        >>> darken = FrameColorJitter(brightness=(0.8, 0.8), contrast=0, saturation=0, hue=0)
        >>> [int(frame[0, 0, 0]) for frame in darken({"imgs": clip})["imgs"]]
        [80, 40]
    """

    def __init__(
        self,
        brightness: float | Range = 0.5,
        contrast: float | Range = 0.5,
        saturation: float | Range = 0.5,
        hue: float | Range = 0.25,
        prob: float = 1.0,
        per_frame: bool = True,
    ) -> None:
        self.ranges = (
            _as_range("brightness", brightness, 1, (0, np.inf)),
            _as_range("contrast", contrast, 1, (0, np.inf)),
            _as_range("saturation", saturation, 1, (0, np.inf)),
            _as_range("hue", hue, 0, (-0.5, 0.5)),
        )
        self.prob = check_within(prob, "prob", 0, 1)
        self.per_frame = per_frame

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Jitter the frames of ``results["imgs"]``.

        Raises:
            ValueError: If the frames do not have three channels.
        """
        frames = _read_frames(results)
        if np.random.rand() >= self.prob:  # noqa: NPY002 -- the pipelines' own generator
            return results
        changes = [self._draw() for _ in frames] if self.per_frame else [self._draw()] * len(frames)
        results["imgs"] = [change_color(frame, change) for frame, change in zip(frames, changes)]
        return results

    def _draw(self) -> ColorChange:
        brightness, contrast, saturation, hue = (float(np.random.uniform(*limits)) for limits in self.ranges)  # noqa: NPY002
        order = tuple(OPERATIONS[place] for place in np.random.permutation(len(OPERATIONS)))  # noqa: NPY002
        return ColorChange(brightness, contrast, saturation, hue, order)


def _as_range(name: str, value: float | Range, center: float, bounds: Range) -> Range:
    low, high = value if isinstance(value, (list, tuple)) else (max(center - value, bounds[0]), center + value)
    if not bounds[0] <= low <= high <= bounds[1]:
        raise ValueError(f"{name} must give a range within {list(bounds)}, but got {value!r}")
    return float(low), float(high)


def _read_frames(results: dict[str, Any]) -> list[np.ndarray]:
    """Return the decoded frames under ``imgs``, each (H, W, 3)."""
    frames = list(results["imgs"])
    if shapes := {frame.shape for frame in frames if frame.ndim != 3 or frame.shape[2] != 3}:
        raise ValueError(f"imgs must be color frames of (H, W, 3), but got {sorted(shapes)}")
    return frames


class ColorChange(NamedTuple):
    """Color change of a frame: four strengths, and the order of the operations."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[str, ...] = OPERATIONS


def change_color(frame: np.ndarray, change: ColorChange) -> np.ndarray:
    """Change the colors of an RGB frame.

    Brightness scales the values, contrast scales their distance from the frame's mean luminance, saturation their
    distance from each pixel's luminance, and hue turns the color circle. Values are clipped to [0, 255] after each
    operation, as in torchvision.

    Args:
        frame: RGB in [0, 255].
        change: Factors of at least 0 (1 changes nothing), hue in turns of the color circle within [-0.5, 0.5] (0
            changes nothing), and the order.

    Shape:
        - frame: (H, W, 3)
        - Output: (H, W, 3), of the dtype of ``frame``; integers are rounded to nearest.

    Returns:
        A new frame.

    Example:
        >>> frame = np.array([[[200, 100, 0]]], dtype=np.uint8)
        >>> change_color(frame, ColorChange(0.5, 1, 1, 0)).tolist()
        [[[100, 50, 0]]]
        >>> change_color(frame, ColorChange(1, 1, 1, 1 / 3)).tolist()  # from orange to green
        [[[0, 200, 100]]]
    """
    image = frame.astype(np.float32)
    for operation in change.order:
        if operation == "brightness":
            image = image * np.float32(change.brightness)
        elif operation == "contrast":
            mean = (image @ _LUMINANCE).mean()
            image = mean + (image - mean) * np.float32(change.contrast)
        elif operation == "saturation":
            gray = (image @ _LUMINANCE)[..., None]
            image = gray + (image - gray) * np.float32(change.saturation)
        elif change.hue:
            image = _turn_hue(image, change.hue)
        np.clip(image, 0, 255, out=image)
    return (np.rint(image) if np.issubdtype(frame.dtype, np.integer) else image).astype(frame.dtype)


def _turn_hue(image: np.ndarray, turns: float) -> np.ndarray:
    import cv2

    # In floating point, OpenCV's hue has all 360 degrees; in bytes, it has steps of two degrees.
    colors = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    colors[..., 0] = (colors[..., 0] + 360 * turns) % 360
    return np.asarray(cv2.cvtColor(colors, cv2.COLOR_HSV2RGB))
