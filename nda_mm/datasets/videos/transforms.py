"""Steps of mmaction2's pipelines: DPC's blocks of frames, and colours changed frame by frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from nda_mm.registry import TRANSFORMS

_TOO_SHORT = ("loop", "refuse")
Range = tuple[float, float]
#: Shares of red, green and blue in luminance (ITU-R BT.601), as torchvision and Pillow have them.
_LUMINANCE = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")


@TRANSFORMS.register_module()
class SampleBlocks(BaseTransform):
    """Choose blocks of frames without a gap between them, in place of mmaction2's ``SampleFrames``.

    Frame j of block k of a window that starts at s is frame ``s + (k * block_len + j) * frame_interval``. The start is
    uniform over all windows that the clip holds, or the middle one with ``test_mode``. The blocks stand where mmaction2
    keeps clips: ``FormatShape(input_format="NCTHW")`` makes (num_blocks, C, block_len, H, W) of them.

    A clip is too short if it has fewer than ``(num_blocks * block_len - 1) * frame_interval + 1`` frames: 118 for the
    defaults, which are DPC's. 'loop' starts at its first frame and starts again there after its last, as
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
            return f"{needed}; remove it from the list"
        return (
            f"{needed}. Set too_short='loop' to go round in it, set fewer or shorter blocks or a smaller "
            f"frame_interval, or remove such clips from the list (tools/prepare_data.py ... --min-frames {self.span})"
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_blocks={self.num_blocks}, block_len={self.block_len}, "
            f"frame_interval={self.frame_interval}, too_short={self.too_short!r}, test_mode={self.test_mode})"
        )


@TRANSFORMS.register_module()
class RandomFrameGrey(BaseTransform):
    """Replace frames by one of their own colour channels, with a draw for each frame.

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
        frames = _read_frames(results, type(self).__name__)
        chosen = np.random.rand(len(frames)) < self.prob  # noqa: NPY002 -- the pipelines' own generator
        channels = np.random.randint(3, size=len(frames))  # noqa: NPY002
        results["imgs"] = [
            np.repeat(frame[..., channel : channel + 1], 3, axis=-1) if grey else frame
            for frame, grey, channel in zip(frames, chosen, channels)
        ]
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(prob={self.prob})"


class ColorChange(NamedTuple):
    """What is done to a frame: four strengths, and the order of the operations."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[str, ...] = OPERATIONS


def change_color(frame: np.ndarray, change: ColorChange) -> np.ndarray:
    """Change the colours of an RGB frame.

    Brightness multiplies, contrast moves away from the frame's mean luminance, saturation away from each pixel's
    luminance, and hue turns the colour circle; values are cut to [0, 255] after each, as torchvision does.

    Args:
        frame: RGB in [0, 255].
        change: Factors of at least 0 (1 changes nothing), hue in turns of the colour circle within [-0.5, 0.5] (0
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
        if operation == "hue":
            image = _turn_hue(image, change.hue)
        elif operation == "brightness":
            image = image * np.float32(change.brightness)
        elif operation == "contrast":
            image = _move_from((image @ _LUMINANCE).mean(), image, change.contrast)
        else:
            image = _move_from((image @ _LUMINANCE)[..., None], image, change.saturation)
        np.clip(image, 0, 255, out=image)
    return (np.rint(image) if np.issubdtype(frame.dtype, np.integer) else image).astype(frame.dtype)


def _move_from(anchor: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    return anchor + (image - anchor) * np.float32(factor)


def _turn_hue(image: np.ndarray, turns: float) -> np.ndarray:
    if turns == 0:
        return image
    import cv2

    # In floating point OpenCV's hue has all 360 degrees; its hue of bytes is counted in steps of two.
    colours = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
    colours[..., 0] = (colours[..., 0] + 360 * turns) % 360
    return np.asarray(cv2.cvtColor(colours, cv2.COLOR_HSV2RGB))


@TRANSFORMS.register_module()
class FrameColorJitter(BaseTransform):
    """Jitter brightness, contrast, saturation and hue, by a draw for each frame or by one for the clip.

    Each draw takes four strengths, uniform in their ranges, and an order of the four operations.

    Source: Han et al., "Video Representation Learning by Dense Predictive Coding", ICCV 2019 workshops,
    https://arxiv.org/abs/1909.04656; the defaults are those of the authors' pretraining,
    https://github.com/TengdaHan/DPC, whose fine-tuning has ``prob=0.3, per_frame=False``. mmaction2's ``ColorJitter``
    draws once for all frames and once in its life for the order, and turns hue by 255/180 of what it is asked for.

    Draws come from numpy's global generator, as those of mmaction2's pipelines.

    Modified keys:
        ``imgs``: frames of (H, W, 3), RGB in [0, 255], which all of mmaction2's decoders give; all become new arrays.

    Args:
        brightness: Width x of the range [max(0, 1 - x), 1 + x], or the range itself. Defaults to 0.5.
        contrast: As ``brightness``. Defaults to 0.5.
        saturation: As ``brightness``. Defaults to 0.5.
        hue: Width x of the range [-x, x] in turns of the colour circle, at most 0.5, or the range itself. Defaults to
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
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be within 0 and 1, but got {prob!r}")
        infinity = float("inf")
        self.ranges = (
            _as_range("brightness", brightness, 1, (0, infinity)),
            _as_range("contrast", contrast, 1, (0, infinity)),
            _as_range("saturation", saturation, 1, (0, infinity)),
            _as_range("hue", hue, 0, (-0.5, 0.5)),
        )
        self.prob = prob
        self.per_frame = per_frame

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Jitter the frames of ``results["imgs"]``.

        Raises:
            KeyError: If there are no ``imgs`` yet.
            TypeError, ValueError: If they are no frames of three channels.
        """
        frames = _read_frames(results, type(self).__name__)
        if np.random.rand() >= self.prob:  # noqa: NPY002 -- the pipelines' own generator
            return results
        changes = [self._draw() for _ in frames] if self.per_frame else [self._draw()] * len(frames)
        results["imgs"] = [change_color(frame, change) for frame, change in zip(frames, changes)]
        return results

    def _draw(self) -> ColorChange:
        brightness, contrast, saturation, hue = (float(np.random.uniform(*limits)) for limits in self.ranges)  # noqa: NPY002
        order = tuple(OPERATIONS[place] for place in np.random.permutation(len(OPERATIONS)))  # noqa: NPY002
        return ColorChange(brightness, contrast, saturation, hue, order)

    def __repr__(self) -> str:
        ranges = ", ".join(f"{name}={value}" for name, value in zip(OPERATIONS, self.ranges))
        return f"{type(self).__name__}({ranges}, prob={self.prob}, per_frame={self.per_frame})"


def _as_range(name: str, value: float | Range, centre: float, bounds: Range) -> Range:
    if isinstance(value, (list, tuple)):
        if len(value) != 2 or not bounds[0] <= value[0] <= value[1] <= bounds[1]:
            raise ValueError(f"{name} as a range must be (low, high) within {list(bounds)}, but got {value!r}")
        return float(value[0]), float(value[1])
    if not 0 <= value <= bounds[1] - centre:
        most = " and at most 0.5" if centre == 0 else ""
        raise ValueError(f"{name} must be at least 0{most}, but got {value!r}")
    return max(centre - value, bounds[0]), centre + value


def _read_frames(results: dict[str, Any], reader: str) -> list[np.ndarray]:
    """The decoded frames under ``imgs``, each (H, W, 3)."""
    if "imgs" not in results:
        raise KeyError(f"{reader} reads 'imgs', but the results hold {sorted(results)}; put it after the decoder")
    frames = results["imgs"]
    if not isinstance(frames, (list, tuple)) or not all(isinstance(frame, np.ndarray) for frame in frames):
        raise TypeError(
            f"{reader} needs a list of frames under 'imgs', but got {type(frames).__name__}; put it before FormatShape"
        )
    shapes = {frame.shape for frame in frames if frame.ndim != 3 or frame.shape[2] != 3}
    if shapes:
        raise ValueError(f"{reader} is for colour frames of (H, W, 3), but got {sorted(shapes)}; is this optical flow?")
    return list(frames)
