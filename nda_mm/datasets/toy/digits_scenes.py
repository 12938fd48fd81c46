"""Scenes of several real digits with boxes in COCO format: a detection data set that needs no download."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset
from mmengine.logging import print_log
from PIL import Image, ImageDraw

from nda_mm.datasets.decoding import read_record
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root

from .digits import Digits

SPLITS = ("train", "test")
#: Side of a scene in pixels; smallest and largest number of digits; shortest and longest side of a digit's square in
#: pixels, which its ink does not fill; largest share of the smaller of two boxes that may be inside the other.
SIZE, DIGITS, DIGIT_SIZE, MAX_OVERLAP = 96, (2, 6), (18, 40), 0.15
#: Left, top, right and bottom in pixels; right and bottom exclusive.
Box = tuple[int, int, int, int]
#: Appearance of the scenes, saved with them so that scenes of a different release are not mistaken for these.
_LOOK = dict(version=1, size=SIZE, digits=list(DIGITS), digit_size=list(DIGIT_SIZE), max_overlap=MAX_OVERLAP)
_MARK = "scenes.json"


@dataclass(frozen=True)
class Scene:
    """One scene: ``image``, ``background`` without digits, both uint8 (size, size, 3); boxes (N, 4); labels (N,).

    A box is tight around its digit's ink, even if another digit covers a part of that ink.
    """

    image: np.ndarray
    background: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def draw_scene(draw: np.random.Generator, digits: np.ndarray, labels: np.ndarray) -> Scene:
    """Compose one scene.

    Bright digits of random color are drawn on a dark background of a color gradient, coarse and fine noise, and
    strokes. A digit is left out if no free place is found in 20 tries; the first digit is always placed.

    Args:
        draw: Random generator.
        digits: Gray uint8 images, bright digits on 0. Shape: (N, H, W).
        labels: Classes of the digits. Shape: (N,).

    Returns:
        The scene, with at least one digit.

    Example:
        >>> digits = Digits(split="test")
        >>> scene = draw_scene(np.random.default_rng(0), digits.images[..., 0], digits.labels)
        >>> scene.image.shape, scene.boxes.shape[1], len(scene.boxes) == len(scene.labels)
        ((96, 96, 3), 4, True)
    """
    background = _background(draw)
    image = background.copy()
    boxes: list[Box] = []
    chosen: list[int] = []
    for index in draw.integers(0, len(digits), size=draw.integers(DIGITS[0], DIGITS[1] + 1)):
        ink = _ink(digits[index], int(draw.integers(DIGIT_SIZE[0], DIGIT_SIZE[1] + 1)))
        color = draw.uniform(150, 255, size=3)
        if (box := _find_place(draw, ink.shape, boxes)) is not None:
            patch = image[box[1] : box[3], box[0] : box[2]]
            patch[:] = patch + ink[..., None] * (color - patch)
            boxes.append(box)
            chosen.append(int(labels[index]))
    image, background = (np.rint(each).astype(np.uint8) for each in (image, background))
    return Scene(image, background, np.array(boxes), np.array(chosen))


def _background(draw: np.random.Generator) -> np.ndarray:
    """Draw a color gradient, coarse and fine noise, and strokes; float64 in 0 to 110. Shape: (SIZE, SIZE, 3)."""
    corners = draw.uniform(10, 90, size=(2, 2, 3)).astype(np.uint8)
    coarse = draw.integers(0, 256, size=(SIZE // 8, SIZE // 8, 3), dtype=np.uint8)
    strokes = Image.new("RGB", (SIZE, SIZE))
    pen = ImageDraw.Draw(strokes)
    for _ in range(draw.integers(2, 8)):
        ends = [int(value) for value in draw.integers(0, SIZE, size=4)]
        color = tuple(int(value) for value in draw.integers(0, 70, size=3))
        pen.line(ends, fill=color, width=int(draw.integers(1, 4)))
    gradient, noise = (
        np.asarray(Image.fromarray(part).resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.float64)
        for part in (corners, coarse)
    )
    fine = draw.normal(0, 6, size=(SIZE, SIZE, 3))
    return (gradient + (noise - 127.5) * 0.15 + fine + np.asarray(strokes, dtype=np.float64)).clip(0, 110)


def _ink(digit: np.ndarray, side: int) -> np.ndarray:
    """Return the ink of each pixel, 0 to 1, cropped to the rows and columns that have any. Shape: (height, width)."""
    gray = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64) / 255
    gray[gray < 0.25] = 0  # ignore the faint rim that enlarging leaves
    rows, columns = np.flatnonzero(gray.any(axis=1)), np.flatnonzero(gray.any(axis=0))
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _find_place(draw: np.random.Generator, shape: tuple[int, ...], boxes: list[Box]) -> Box | None:
    height, width = shape
    for _ in range(20):
        left, top = int(draw.integers(0, SIZE - width + 1)), int(draw.integers(0, SIZE - height + 1))
        box = (left, top, left + width, top + height)
        if all(overlap(box, other) <= MAX_OVERLAP for other in boxes):
            return box
    return None


def overlap(first: Box, second: Box) -> float:
    """Return the share of the smaller of two boxes that is inside the other.

    Example:
        >>> overlap((0, 0, 4, 4), (2, 0, 4, 2)), overlap((0, 0, 2, 2), (1, 0, 3, 2))
        (1.0, 0.5)
    """
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return max(width, 0) * max(height, 0) / smaller


def make_digits_scenes(out: str | Path, *, seed: int = 0, train: int = 120, test: int = 200) -> bool:
    """Write the scenes to a folder, unless it contains them already.

    The files are ``out/train.json``, ``out/train/000000.png`` and so on, and the same for ``test``. They are written to
    a temporary folder next to ``out`` that is renamed at the end, so an interrupted run leaves nothing that looks
    complete. If several processes write at once, the first to finish wins; all of them write the same bytes. Equal
    settings give equal bytes with equal versions of numpy and Pillow.

    Args:
        out: Output folder.
        seed: Seed for the random draws.
        train: Number of training scenes, made of the training images of :class:`~nda_mm.datasets.Digits`.
        test: Number of test scenes, made of its test images.

    Returns:
        True if this call wrote the scenes, False if they existed already.

    Raises:
        ValueError: If the folder contains different scenes, or anything else.
    """
    out = Path(out).absolute()
    mark = {**_LOOK, "seed": seed, "train": train, "test": test}
    if _holds(out, mark):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
    try:
        for number, (split, count) in enumerate({"train": train, "test": test}.items()):
            _write_split(part, split, count, np.random.default_rng([seed, number]))
        (part / _MARK).write_text(json.dumps(mark) + "\n", encoding="utf-8")
        part.chmod(0o755)  # mkdtemp makes folders private
        try:
            os.rename(part, out)  # also replaces an empty folder
        except OSError:
            if not _holds(out, mark):
                raise
            return False
        return True
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _holds(out: Path, mark: Mapping[str, Any]) -> bool:
    """Return whether the folder contains these scenes; raise if it contains anything else."""
    if not out.is_dir() or not any(out.iterdir()):
        return False
    found = read_record(out / _MARK)
    if found != mark:
        raise ValueError(
            f"'{out}' must be empty or hold the scenes of {mark}, but got {found or 'other files'}. Choose a different "
            "folder (data_root, --out), or remove this one"
        )
    return True


def _write_split(folder: Path, split: str, count: int, draw: np.random.Generator) -> None:
    digits = Digits(split=split)
    images: list[Mapping[str, Any]] = []
    annotations: list[Mapping[str, Any]] = []
    (folder / split).mkdir()
    for number in range(count):
        scene = draw_scene(draw, digits.images[..., 0], digits.labels)
        name = f"{number:06d}.png"
        Image.fromarray(scene.image).save(folder / split / name)
        images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
        for (left, top, right, bottom), label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            width, height = right - left, bottom - top
            box = {"bbox": [left, top, width, height], "area": width * height, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, **box})
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(Digits.METAINFO["classes"])]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{split}.json").write_text(json.dumps(content) + "\n", encoding="utf-8")


@DATASETS.register_module()
class DigitsScenes(CocoDataset):
    """Handwritten digits in small cluttered scenes, for detection; needs no download.

    The scenes are made by :func:`make_digits_scenes`, in COCO format. If ``data_root`` does not contain them, they are
    written there in a few seconds, which is safe even with several processes. Training scenes are made of training
    digits, test scenes of test digits.

    Args:
        data_root: Folder of the scenes; each choice of ``scenes`` needs its own. Defaults to 'data/digits_scenes'.
        split: 'train' or 'test'.
        scenes: Arguments of :func:`make_digits_scenes` that differ from its defaults: ``seed``, ``train`` and ``test``.
        kwargs: Arguments of mmdet's ``CocoDataset``: ``pipeline``, ``test_mode``, ``indices``, ...

    Raises:
        ValueError: If an argument is out of its range, or the folder contains something else.

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
        check_choice(split, "split", SPLITS)
        self.scenes = dict(scenes or {})
        super().__init__(
            data_root=check_data_root(data_root), ann_file=f"{split}.json", data_prefix={"img": f"{split}/"}, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Write the scenes if they are missing, then read them as mmdet does."""
        if make_digits_scenes(self.data_root, **self.scenes):
            print_log(f"The scenes were written to {self.data_root}", "current")
        return super().load_data_list()
