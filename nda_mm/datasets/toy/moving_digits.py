"""Clips of moving digits: videos without a download, whose class shows only in the order of the frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from scipy import ndimage

from nda_mm.datasets.images.array_dataset import check_size
from nda_mm.datasets.report import track
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

from .digits import Digits

#: For each class, the phase that changes and its direction. Each pair of classes is a motion and its time reverse.
MOTIONS: dict[str, tuple[int, int]] = {
    "right": (0, 1),
    "left": (0, -1),
    "down": (1, 1),
    "up": (1, -1),
    "clockwise": (2, 1),
    "counterclockwise": (2, -1),
    "growing": (3, 1),
    "shrinking": (3, -1),
}
#: Classes that ``bouncing`` adds, with the phase that moves back and forth. Each is its own time reverse.
BOUNCES: dict[str, tuple[int, int]] = {"bouncing_sideways": (0, 0), "bouncing_vertically": (1, 0)}
#: Smallest and largest side of a digit, relative to the frame. Even the largest fits into the frame at any angle.
_SIDES = (0.35, 0.7)
_SOURCE_SIZE = 16
_SPLITS = ("train", "test", "all")


def render(digit: np.ndarray, phases: np.ndarray, size: int) -> np.ndarray:
    """Draw a digit at given positions, angles and sizes, with bilinear interpolation.

    The frame is a torus: what leaves it on one side enters on the other.

    Args:
        digit: Gray values; the background is 0.
        phases: Four numbers in [0, 1) for each frame: horizontal and vertical position of the center relative to the
            frame, angle in clockwise turns, and size on a log scale (from 0, the smallest, towards 1, the largest).
        size: Side of the frame in pixels.

    Shape:
        - digit: (S, S)
        - phases: (T, 4)
        - Output: (T, size, size), float64, in the range of ``digit``.

    Returns:
        The frames.

    Example:
        >>> middle, upright = [0.5, 0.5], [0.0, 0.0]
        >>> render(np.full((16, 16), 255.0), np.array([middle + upright]), size=8)[0, 4].tolist()
        [0.0, 0.0, 0.0, 255.0, 255.0, 0.0, 0.0, 0.0]
    """
    padded = np.pad(np.asarray(digit, dtype=np.float64), 1)  # a border of background
    side = size * _SIDES[0] * (_SIDES[1] / _SIDES[0]) ** phases[:, 3]
    turn = 2 * np.pi * phases[:, 2]
    pixels = (np.arange(size) + 0.5) / size
    offsets = [((pixels - phases[:, i : i + 1] + 0.5) % 1 - 0.5) * size for i in (0, 1)]
    x, y = offsets[0][:, None, :], offsets[1][:, :, None]
    cosine, sine, scale = (a[:, None, None] for a in (np.cos(turn), np.sin(turn), len(digit) / side))
    # Map the frame back into the padded digit, whose first pixel has index 1.
    columns = (cosine * x + sine * y) * scale + len(digit) / 2 + 0.5
    rows = (cosine * y - sine * x) * scale + len(digit) / 2 + 0.5
    return ndimage.map_coordinates(padded, np.stack([rows, columns]), order=1, mode="nearest")


@DATASETS.register_module()
class MovingDigits(BaseDataset):
    """Clips of handwritten digits in motion, with the motion as the class, rendered in memory.

    There are eight motions: right, left, down, up, clockwise, counterclockwise, growing, shrinking. The horizontal and
    vertical position, angle and size of a digit are cyclic phases. At the start of a clip, all four are uniform; the
    class determines which of them advances, and in which direction. A uniform phase that advances at a steady pace
    stays uniform, so **every single frame has the same distribution in every class**. Classes come in pairs that are
    each other's time reverse, so a bag of frames shows the axis at best; only the order of the frames shows the class.

    With ``bouncing``, there are two more classes: a digit moves sideways or up and down at the same paces and turns
    back when its center reaches the edge of the frame, at least once in 32 frames at the default paces. Its position is
    uniform in every frame, too.

    Items have ``array`` (T, H, W, 3), uint8, for mmaction2's pipelines: ``SampleFrames``, then ``ArrayDecode``. To
    train from files instead, as with any video data set, write them with :func:`write_videos`.

    Digits and splits are those of :class:`~nda_mm.datasets.Digits`: no digit of the training clips appears in the test
    clips.

    Args:
        split: 'train', 'test' or 'all'.
        num_clips: Number of clips, which cycle through the classes. Defaults to 1600.
        num_frames: Number of frames per clip. Defaults to 40.
        size: Side of the frames in pixels, at least 16. Defaults to 32.
        digits_per_clip: Number of digits in each clip. All have the clip's motion, but each has its own position, pace
            and size. Where digits overlap, the brighter one shows. Defaults to 1.
        bouncing: Whether to add the two classes of bouncing digits after the other eight. Defaults to False.
        pace: Range of the pace in cycles per frame, from which each digit draws its own. Up to 0.5 / n, the direction
            can still be seen in every n-th frame. Defaults to (1/32, 1/16).
        cache: Whether a process keeps the clips that it has drawn, T x size x size bytes each (65 MB for the default
            1600 clips). Drawing a clip takes about 10 ms. Defaults to True.
        seed: Seed for the random draws. A clip depends only on the split, the seed and its index, whichever process
            draws it.
        kwargs: Arguments of mmengine's ``BaseDataset``: ``pipeline``, ``indices``, ``test_mode``, ``lazy_init``, ...

    Raises:
        ValueError: If an argument is out of its range.
        ModuleNotFoundError: If scikit-learn, which provides the digits, is not installed.

    Example:
        >>> clips = MovingDigits(split="test", num_clips=16)
        >>> item = clips[9]
        >>> item["array"].shape, clips.metainfo["classes"][item["label"]]
        ((40, 32, 32, 3), 'left')
    """

    METAINFO = {"classes": tuple(MOTIONS)}

    def __init__(
        self,
        split: str = "train",
        *,
        num_clips: int = 1600,
        num_frames: int = 40,
        size: int = 32,
        digits_per_clip: int = 1,
        bouncing: bool = False,
        pace: tuple[float, float] = (1 / 32, 1 / 16),
        seed: int = 0,
        cache: bool = True,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", _SPLITS)
        if not 0 < pace[0] <= pace[1] < 0.5:  # at half a cycle per frame, the direction cannot be seen
            raise ValueError(f"pace must be (slowest, fastest) with 0 < slowest <= fastest < 0.5, but got {pace!r}")
        self.split, self.num_clips, self.num_frames = split, num_clips, num_frames
        self.size = check_size(size, 16)
        self.digits_per_clip, self.pace, self.seed = digits_per_clip, (float(pace[0]), float(pace[1])), seed
        self.motions = {**MOTIONS, **BOUNCES} if bouncing else MOTIONS
        if bouncing:
            kwargs["metainfo"] = {"classes": tuple(self.motions), **(kwargs.get("metainfo") or {})}
        self._drawn: dict[int, np.ndarray] | None = {} if cache else None
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return the labels and numbers of the clips; their frames are drawn on demand."""
        self._digits = Digits(split=self.split, size=_SOURCE_SIZE, channels=1).images[..., 0]
        return [{"label": clip % len(self.motions), "clip": clip} for clip in range(self.num_clips)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Return one clip before the pipeline, as mmaction2's transforms expect it."""
        info = super().get_data_info(idx)
        frames = self.render_clip(info["clip"])
        return {
            **info,
            "array": np.repeat(frames[..., None], 3, axis=-1),
            "total_frames": len(frames),
            "start_index": 0,
            "modality": "RGB",
        }

    def phases(self, clip: int) -> np.ndarray:
        """Return the position, angle and size of each digit in a clip.

        Args:
            clip: Number of the clip.

        Shape:
            - Output: (digits, frames, 4); see :func:`render`.

        Returns:
            The phases, each in [0, 1).
        """
        draw = self._generator(clip)
        axis, direction = tuple(self.motions.values())[clip % len(self.motions)]
        start = draw.random((self.digits_per_clip, 1, 4))
        pace = draw.uniform(*self.pace, size=(self.digits_per_clip, 1))
        phases = np.repeat(start, self.num_frames, axis=1)
        traveled = pace * np.arange(self.num_frames)
        if direction:
            phases[..., axis] += direction * traveled
        else:
            # Half of the cycle leads from one edge to the other, the other half leads back; uniform stays uniform.
            phases[..., axis] = 1 - np.abs(1 - 2 * ((phases[..., axis] + traveled / 2) % 1))
        return phases % 1

    def render_clip(self, clip: int) -> np.ndarray:
        """Draw a clip.

        Args:
            clip: Number of the clip.

        Shape:
            - Output: (T, H, W), uint8.

        Returns:
            The frames; do not modify them.
        """
        if self._drawn is not None and clip in self._drawn:
            return self._drawn[clip]
        # A second stream makes the choice of digits independent of their motion.
        chosen = self._generator(clip, 1).integers(len(self._digits), size=self.digits_per_clip)
        frames = np.zeros((self.num_frames, self.size, self.size))
        for digit, path in zip(chosen, self.phases(clip)):
            frames = np.maximum(frames, render(self._digits[digit], path, self.size))
        drawn = np.rint(frames).astype(np.uint8)
        if self._drawn is not None:
            self._drawn[clip] = drawn
        return drawn

    def _generator(self, clip: int, stream: int = 0) -> np.random.Generator:
        return np.random.default_rng([self.seed, _SPLITS.index(self.split), clip, stream])


def write_videos(clips: MovingDigits, folder: str | Path, *, fps: float = 25.0) -> Path:
    """Write every clip as Motion JPEG, and then the list of labels that mmaction2's ``VideoDataset`` reads.

    JPEG is lossy: gray values read back are off by a few steps of 255. Every frame is a key frame, so each can be
    decoded without the frames before it.

    Args:
        clips: Clips to write to ``folder/<split>/<number>_<class>.avi``.
        folder: Output folder; existing files are overwritten.
        fps: Frames per second. Defaults to 25.

    Returns:
        Path of the list, which has a path relative to ``folder`` and a label in each line.

    Raises:
        ModuleNotFoundError: If OpenCV is not installed.
        OSError: If OpenCV cannot write Motion JPEG there.
    """
    import cv2

    folder = Path(folder)
    (folder / clips.split).mkdir(parents=True, exist_ok=True)
    # A folder with a list is complete, so the old list is removed first and the new one is written last.
    annotations = folder / f"{clips.split}_list_videos.txt"
    annotations.unlink(missing_ok=True)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    lines = []
    for index in track(range(len(clips)), f"writing '{folder / clips.split}'", "clips"):
        clip = clips.get_data_info(index)
        name = f"{clips.split}/{clip['clip']:06d}_{clips.metainfo['classes'][clip['label']]}.avi"
        writer = cv2.VideoWriter(str(folder / name), codec, fps, (clips.size, clips.size))
        if not writer.isOpened():
            raise OSError(f"OpenCV could not open {folder / name} for writing Motion JPEG; is the folder writable?")
        writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 98)
        for frame in clip["array"]:
            writer.write(np.ascontiguousarray(frame[..., ::-1]))  # OpenCV expects BGR
        writer.release()
        lines.append(f"{name} {clip['label']}\n")
    annotations.write_text("".join(lines))
    return annotations
