"""Brightness, contrast, saturation and hue of a clip's frames, jittered frame by frame or alike."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform

from nda_mm.registry import TRANSFORMS

from .clip_frames import read_colour_frames

Range = tuple[float, float]
#: Shares of red, green and blue in luminance (ITU-R BT.601), as torchvision and Pillow have them.
_LUMINANCE = np.array([0.2989, 0.587, 0.114], dtype=np.float32)
OPERATIONS = ("brightness", "contrast", "saturation", "hue")


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
        per_frame: Whether every frame has a draw of its own. Defaults to True.

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
        frames = read_colour_frames(results, type(self).__name__)
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
