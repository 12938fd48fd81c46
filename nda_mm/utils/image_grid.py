"""Labelled contact sheets: real images beside their negatives, samples by class, worst offenders of an audit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image, ImageFont
    from torch import Tensor

BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)
FONT_SIZE = 11


def image_grid(
    images: Tensor | np.ndarray,
    columns: int | None = None,
    labels: Sequence[str] | None = None,
    scale: int = 1,
    *,
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    padding: int = 2,
) -> Image.Image:
    """Lay images out row by row on one white sheet, with captions, headings and row names where wanted.

    Pixels are repeated, never interpolated, so what the sheet shows is what the network sees. A column is widened to
    the longest of its texts; a text may hold line breaks.

    Args:
        images: uint8, grey or RGB. Shape: (N, C, H, W) with C 1 or 3. See :func:`to_uint8` for a model's output.
        columns: Images in a row. Default: one for each of ``column_labels``, else the root of N, rounded up.
        labels: One caption under each image, N of them; an empty string leaves a gap.
        scale: Size of an image's pixel on the sheet, in pixels, at least 1.
        column_labels: One heading above each column.
        row_labels: One name to the left of each row.
        padding: White space between images, in pixels.

    Returns:
        An RGB ``PIL.Image``; ``.save('grid.png')`` writes it.

    Raises:
        TypeError: If ``images`` are not uint8.
        ValueError: If a shape, a number of labels or a size does not fit.

    Example:
        >>> sheet = image_grid(np.zeros((6, 3, 8, 8), dtype=np.uint8), columns=3, scale=2, padding=1)
        >>> sheet.size
        (52, 35)
    """
    from PIL import Image, ImageDraw

    pixels = _as_rgb(images)
    count, height, width = pixels.shape[:3]
    if scale < 1 or padding < 0:
        raise ValueError(f"scale must be at least 1 and padding at least 0, but got scale={scale}, padding={padding}")
    if columns is None:
        columns = len(column_labels) if column_labels else math.ceil(math.sqrt(count))
    if columns < 1:
        raise ValueError(f"a grid needs at least one column, but got columns={columns}")
    rows = math.ceil(count / columns)
    captions = _check_labels(labels, count, "labels, one for each image")
    headings = _check_labels(column_labels, columns, "column_labels, one for each column")
    names = _check_labels(row_labels, rows, "row_labels, one for each row")

    font = _font()
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))

    def extent(text: str) -> tuple[int, int]:
        if not text:
            return 0, 0
        box = measure.multiline_textbbox((0, 0), text, font=font)
        return math.ceil(box[2]), math.ceil(box[3]) + 2

    cell_width, cell_height = width * scale, height * scale
    column_widths = [
        max([cell_width, extent(headings[column])[0], *(extent(text)[0] for text in captions[column::columns])])
        for column in range(columns)
    ]
    caption_height = max((extent(text)[1] for text in captions), default=0)
    heading_height = max((extent(text)[1] for text in headings), default=0)
    margin = max((extent(text)[0] for text in names), default=0)
    margin += 4 if margin else 0

    lefts = [margin + padding + sum(column_widths[:column]) + padding * column for column in range(columns)]
    row_height = cell_height + caption_height + padding
    size = (lefts[-1] + column_widths[-1] + padding, heading_height + padding + rows * row_height)
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)

    def write(text: str, left: float, top: float) -> None:
        if text:
            draw.multiline_text((left, top), text, fill=INK, font=font, align="center")

    for column, text in enumerate(headings):
        write(text, lefts[column] + (column_widths[column] - extent(text)[0]) / 2, padding)
    for row in range(rows):
        write(
            names[row], padding, heading_height + padding + row * row_height + (cell_height - extent(names[row])[1]) / 2
        )
    for index in range(count):
        row, column = divmod(index, columns)
        left = lefts[column] + (column_widths[column] - cell_width) // 2
        top = heading_height + padding + row * row_height
        enlarged = pixels[index].repeat(scale, axis=0).repeat(scale, axis=1)
        sheet.paste(Image.fromarray(enlarged), (left, top))
        text_left = lefts[column] + (column_widths[column] - extent(captions[index])[0]) / 2
        write(captions[index], text_left, top + cell_height)
    return sheet


def save_image_grid(path: str | Path, images: Tensor | np.ndarray, *args: Any, **kwargs: Any) -> Path:
    """Write :func:`image_grid` to a file, creating its folder; arguments as there. Returns the path."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image_grid(images, *args, **kwargs).save(path)
    return path


def to_uint8(images: Tensor, low: float = -1.0, high: float = 1.0) -> Tensor:
    """Map floating images from ``[low, high]`` to uint8 on the CPU, rounded to nearest, clamped outside.

    Example:
        >>> import torch
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 7.0])).tolist()
        [0, 128, 255, 255]
    """
    if not high > low:
        raise ValueError(f"the value range must have high > low, but got low={low}, high={high}")
    unit = (images.detach().cpu().double() - low) / (high - low)
    return (unit.clamp(0, 1) * 255).round().byte()


def _as_rgb(images: Tensor | np.ndarray) -> np.ndarray:
    """(N, C, H, W) uint8 to a contiguous (N, H, W, 3) array."""
    array = images if isinstance(images, np.ndarray) else images.detach().cpu().numpy()
    if array.dtype != np.uint8:
        raise TypeError(f"images must be uint8, but got {array.dtype}; to_uint8 converts a model's floating output")
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"images must have the shape (N, C, H, W) with C 1 or 3 and none empty, but got {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, (array.shape[0], 3, *array.shape[2:])).transpose(0, 2, 3, 1))


def _check_labels(labels: Sequence[str] | None, count: int, meaning: str) -> list[str]:
    if labels is None:
        return [""] * count
    if isinstance(labels, str) or len(labels) != count:
        raise ValueError(f"{meaning}: {count} texts are needed, but got {labels!r}")
    return [str(text) for text in labels]


def _font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Pillow's own font: the same on every machine, no font file looked for."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size=FONT_SIZE)
    except TypeError:  # Pillow before 10.1 has one size only
        return ImageFont.load_default()
