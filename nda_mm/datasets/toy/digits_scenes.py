"""Scenes of several real digits with their boxes, in COCO's format: detection that needs no download."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.logging import print_log

from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .digits import Digits

#: Changes with what a scene looks like, so that scenes of an earlier release are not taken for those of this one.
_VERSION = 1
_MARK = "scenes.json"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class SceneSettings:
    """What a set of scenes is made of; equal settings give equal files.

    Args:
        seed: Of all draws. Default 0.
        train: Number of training scenes, made of :class:`~nda_mm.datasets.Digits`' training images. Default 120.
        test: Number of test scenes, made of its test images. Default 200.
        size: Side of a scene in pixels, at least 48. Default 96.
        digits: Fewest and most digits of a scene. Default (2, 6).
        digit_size: Shortest and longest side of a digit's square in pixels; its ink fills a part. Default (18, 40).
        max_overlap: Largest share, 0 to 1, of the smaller of two boxes that may lie in the other. Default 0.15.

    Raises:
        ValueError: If an argument is out of its range.
    """

    seed: int = 0
    train: int = 120
    test: int = 200
    size: int = 96
    digits: tuple[int, int] = (2, 6)
    digit_size: tuple[int, int] = (18, 40)
    max_overlap: float = 0.15

    def __post_init__(self) -> None:
        if self.seed < 0 or min(self.train, self.test) < 1 or self.size < 48:
            raise ValueError(
                "seed must be at least 0, train and test at least 1 and size at least 48, but got "
                f"seed={self.seed}, train={self.train}, test={self.test}, size={self.size}"
            )
        if not 1 <= self.digits[0] <= self.digits[1]:
            raise ValueError(f"digits must be (fewest, most) with 1 <= fewest <= most, but got {self.digits}")
        if not 8 <= self.digit_size[0] <= self.digit_size[1] <= self.size:
            raise ValueError(f"digit_size must rise within 8 and size={self.size}, but got {self.digit_size}")
        if not 0 <= self.max_overlap <= 1:
            raise ValueError(f"max_overlap must be within 0 and 1, but got {self.max_overlap}")


@dataclass(frozen=True)
class Scene:
    """One scene: ``image`` and its ``background`` before the digits (size, size, 3) uint8; boxes (N, 4); labels (N,).

    A box is (left, top, right, bottom) in pixels, right and bottom exclusive, tight around its digit's ink even where
    another digit covers a part of that ink.
    """

    image: np.ndarray
    background: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def draw_scene(
    draw: np.random.Generator, digits: np.ndarray, labels: np.ndarray, settings: SceneSettings | None = None
) -> Scene:
    """Compose one scene.

    Bright digits of random colour stand on a dark background of a colour gradient, coarse and fine noise and strokes of
    clutter. A digit that finds no free place in 20 tries is left out; the first always finds one.

    Args:
        draw: Source of all draws.
        digits: Grey images, bright on 0, uint8. Shape: (N, H, W).
        labels: Their classes. Shape: (N,).
        settings: What to compose. Default: the defaults.

    Returns:
        The scene, with at least one digit.

    Example:
        >>> digits = Digits(split="test")
        >>> scene = draw_scene(np.random.default_rng(0), digits.images[..., 0], digits.labels)
        >>> scene.image.shape, scene.boxes.shape[1], len(scene.boxes) == len(scene.labels)
        ((96, 96, 3), 4, True)
    """
    settings = settings or SceneSettings()
    background = _background(draw, settings.size)
    image = background.copy()
    boxes: list[tuple[int, int, int, int]] = []
    chosen: list[int] = []
    for index in draw.integers(0, len(digits), size=draw.integers(settings.digits[0], settings.digits[1] + 1)):
        ink = _ink(digits[index], int(draw.integers(settings.digit_size[0], settings.digit_size[1] + 1)))
        colour = draw.uniform(150, 255, size=3)
        place = _free_place(draw, ink.shape, boxes, settings)
        if place is None:
            continue
        left, top = place
        box = (left, top, left + ink.shape[1], top + ink.shape[0])
        patch = image[box[1] : box[3], box[0] : box[2]]
        patch[:] = patch + ink[..., None] * (colour - patch)
        boxes.append(box)
        chosen.append(int(labels[index]))
    return Scene(
        np.rint(image).astype(np.uint8),
        np.rint(background).astype(np.uint8),
        np.array(boxes, dtype=np.int64),
        np.array(chosen, dtype=np.int64),
    )


def _background(draw: np.random.Generator, size: int) -> np.ndarray:
    """Colour gradient, coarse and fine noise, and strokes; float64 in 0 to 110. Shape: (size, size, 3)."""
    from PIL import Image, ImageDraw

    corners = draw.uniform(10, 90, size=(2, 2, 3)).astype(np.uint8)
    coarse = draw.integers(0, 256, size=(size // 8, size // 8, 3), dtype=np.uint8)
    strokes = Image.new("RGB", (size, size))
    pen = ImageDraw.Draw(strokes)
    for _ in range(draw.integers(2, 8)):
        ends = [int(value) for value in draw.integers(0, size, size=4)]
        colour = tuple(int(value) for value in draw.integers(0, 70, size=3))
        pen.line(ends, fill=colour, width=int(draw.integers(1, 4)))
    scaled = [
        np.asarray(Image.fromarray(part).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float64)
        for part in (corners, coarse)
    ]
    fine = draw.normal(0, 6, size=(size, size, 3))
    mixed = scaled[0] + (scaled[1] - 127.5) * 0.15 + fine + np.asarray(strokes, dtype=np.float64)
    return mixed.clip(0, 110)


def _ink(digit: np.ndarray, side: int) -> np.ndarray:
    """How much of each pixel is ink, 0 to 1, cut to the rows and columns that hold any. Shape: (height, width)."""
    from PIL import Image

    grey = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    grey[grey < 0.25] = 0  # the faint rim of the enlargement, which nobody would put into a box
    rows, columns = np.flatnonzero(grey.any(axis=1)), np.flatnonzero(grey.any(axis=0))
    return grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(
    draw: np.random.Generator,
    shape: tuple[int, ...],
    boxes: list[tuple[int, int, int, int]],
    settings: SceneSettings,
) -> tuple[int, int] | None:
    height, width = shape
    for _ in range(20):
        left = int(draw.integers(0, settings.size - width + 1))
        top = int(draw.integers(0, settings.size - height + 1))
        box = (left, top, left + width, top + height)
        if all(overlap(box, other) <= settings.max_overlap for other in boxes):
            return left, top
    return None


def overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Share of the smaller of two boxes that lies in the other.

    Example:
        >>> overlap((0, 0, 4, 4), (2, 0, 4, 2)), overlap((0, 0, 2, 2), (1, 0, 3, 2))
        (1.0, 0.5)
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(width, 0) * max(height, 0) / smaller


def make_digits_scenes(out: str | Path, settings: SceneSettings | None = None) -> bool:
    """Write the scenes to a folder, unless it holds them already.

    ``out/train.json``, ``out/train/000000.png`` and so on, and the same for ``test``. The files are made in a folder
    beside ``out`` that takes its name when all are written, so an interrupted run leaves nothing that looks complete,
    and of several processes at once the first to finish wins; all would write the same bytes. Equal settings give
    equal bytes with equal versions of numpy and Pillow.

    Args:
        out: The folder.
        settings: What to compose. Default: the defaults.

    Returns:
        Whether they were written now.

    Raises:
        ValueError: If the folder holds other scenes, or something else.
    """
    settings = settings or SceneSettings()
    out = Path(out)
    if _holds(out, settings):
        return False
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.absolute().parent))
    try:
        for number, split in enumerate(SPLITS):
            _write_split(part, split, settings, np.random.default_rng([settings.seed, number]))
        (part / _MARK).write_text(json.dumps(_mark(settings)) + "\n", encoding="utf-8")
        part.chmod(0o755)  # mkdtemp's are closed to everybody else
        try:
            os.rename(part, out)  # over an empty folder too
        except OSError:
            if not _holds(out, settings):
                raise
            return False
        return True
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _mark(settings: SceneSettings) -> dict[str, Any]:
    return json.loads(json.dumps({"version": _VERSION, **asdict(settings)}))


def _holds(out: Path, settings: SceneSettings) -> bool:
    """Whether the folder holds these scenes; whatever else it holds is refused."""
    if not out.is_dir() or not any(out.iterdir()):
        return False
    mark = out / _MARK
    try:
        found = json.loads(mark.read_text(encoding="utf-8")) if mark.is_file() else None
    except ValueError as error:
        raise ValueError(f"'{mark}' is damaged ({error}); remove '{out}', or name another folder") from error
    if found == _mark(settings):
        return True
    what = f"scenes of other settings, {found}" if found else f"something else (no {_MARK})"
    raise ValueError(
        f"'{out}' holds {what}; the scenes asked for are {_mark(settings)}. Name another folder (data_root, --out) or "
        "remove this one."
    )


def _write_split(folder: Path, split: str, settings: SceneSettings, draw: np.random.Generator) -> None:
    from PIL import Image

    digits = Digits(split=split)
    images: list[Mapping[str, Any]] = []
    annotations: list[Mapping[str, Any]] = []
    (folder / split).mkdir()
    for number in range(getattr(settings, split)):
        scene = draw_scene(draw, digits.images[..., 0], digits.labels, settings)
        name = f"{number:06d}.png"
        Image.fromarray(scene.image).save(folder / split / name)
        images.append({"id": number, "file_name": name, "width": settings.size, "height": settings.size})
        for box, label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            width, height = box[2] - box[0], box[3] - box[1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [box[0], box[1], width, height],
                    "area": width * height,
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(Digits.METAINFO["classes"])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


@DATASETS.register_module()
class DigitsScenes(CocoDataset):
    """Detect and read handwritten digits in small cluttered scenes; no download.

    The scenes are those of :func:`make_digits_scenes`, in COCO's format. If
    ``data_root`` lacks them they are written there, in a few seconds, also where several processes want them at once.
    Training scenes are made of training digits, test scenes of test digits.

    Args:
        data_root: Folder of the scenes; each choice of ``scenes`` needs its own. Default 'data/digits_scenes'.
        split: 'train' or 'test'.
        scenes: Settings that differ from :class:`SceneSettings`' defaults.
        kwargs: ``pipeline``, ``test_mode``, ``indices``, ... of mmdet's ``CocoDataset``.

    Raises:
        ValueError: If an argument is out of its range, or the folder holds something else.

    Example:
        In a config::

            dataset=dict(type="nda_mm.DigitsScenes", split="train", pipeline=[...])
    """

    METAINFO = {
        "classes": Digits.METAINFO["classes"],
        "palette": [
            (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189),
            (140, 86, 75), (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207),
        ],
    }  # fmt: skip

    def __init__(
        self,
        data_root: str = "data/digits_scenes",
        split: str = "train",
        *,
        scenes: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, but got {split!r}")
        settings = dict(scenes or {})
        for name in ("digits", "digit_size"):
            if name in settings:
                settings[name] = tuple(settings[name])
        self.scenes = SceneSettings(**settings)
        super().__init__(
            data_root=check_data_root(data_root), ann_file=f"{split}.json", data_prefix={"img": f"{split}/"}, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Write the scenes if they are not there, then read them as mmdet does."""
        if make_digits_scenes(self.data_root, self.scenes):
            print_log(f"{self.scenes.train} + {self.scenes.test} scenes were written to {self.data_root}", "current")
        return super().load_data_list()
