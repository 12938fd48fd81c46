"""Labeled image grids, such as real images next to their negatives, or samples by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

BACKGROUND = (255, 255, 255)
INK = (32, 32, 32)
FONT_SIZE = 11


def image_grid(
    images: Tensor | np.ndarray,
    columns: int | None = None,
    scale: int = 1,
    *,
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    padding: int = 2,
) -> Image.Image:
    """Arrange images row by row on a white background, with optional column and row labels.

    Pixels are repeated, never interpolated, so the grid shows what the network sees. A column is at least as wide as
    its label. Labels may contain line breaks.

    Args:
        images: uint8 images, gray or RGB. Shape: (N, C, H, W) with C 1 or 3. :func:`to_uint8` converts a model's
            output.
        columns: Images per row. Defaults to the number of ``column_labels``, else to the square root of N, rounded up.
        scale: Integer zoom factor of the images, at least 1. Defaults to 1.
        column_labels: A label for each column, written above it. Defaults to None.
        row_labels: A label for each row, written to its left. Defaults to None.
        padding: White space between images, in pixels. Defaults to 2.

    Returns:
        An RGB ``PIL.Image``; ``.save('grid.png')`` writes it.

    Raises:
        TypeError: If ``images`` are not uint8.
        ValueError: If the shape of ``images`` or the number of labels is wrong.

    Example:
        >>> grid = image_grid(np.zeros((6, 3, 8, 8), dtype=np.uint8), columns=3, scale=2, padding=1)
        >>> grid.size
        (52, 35)
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = _in_three_channels(images).repeat(scale, axis=1).repeat(scale, axis=2)
    count, height, width = pixels.shape[:3]
    columns = columns or len(column_labels or ()) or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    headings = _labels("column_labels", column_labels, columns)
    names = _labels("row_labels", row_labels, rows)

    font = ImageFont.load_default(size=FONT_SIZE)
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))

    def extent(text: str) -> tuple[int, int]:
        if not text:
            return 0, 0
        box = measure.multiline_textbbox((0, 0), text, font=font)
        return math.ceil(box[2]), math.ceil(box[3]) + 2

    # Columns are at least as wide as their heading, and the left margin as wide as the longest row label.
    widths = [max(width, extent(heading)[0]) for heading in headings]
    top = max(extent(heading)[1] for heading in headings) + padding
    margin = max(extent(name)[0] for name in names)
    left = (margin + 4 if margin else 0) + padding
    lefts = [left + sum(widths[:column]) + padding * column for column in range(columns)]

    grid = Image.new("RGB", (lefts[-1] + widths[-1] + padding, top + rows * (height + padding)), BACKGROUND)
    # Draw headings and row labels, each centered on its images, and then the images.
    draw = ImageDraw.Draw(grid)
    for column, heading in enumerate(headings):
        x = lefts[column] + (widths[column] - extent(heading)[0]) / 2
        draw.multiline_text((x, padding), heading, fill=INK, font=font, align="center")
    for row, name in enumerate(names):
        y = top + row * (height + padding) + (height - extent(name)[1]) / 2
        draw.multiline_text((padding, y), name, fill=INK, font=font, align="center")
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        grid.paste(
            Image.fromarray(image), (lefts[column] + (widths[column] - width) // 2, top + row * (height + padding))
        )
    return grid


def save_image_grid(path: str | Path, images: Tensor | np.ndarray, *args: Any, **kwargs: Any) -> Path:
    """Save an image grid and return its path; see :func:`image_grid` for the arguments. Missing folders are created."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    image_grid(images, *args, **kwargs).save(path)
    return path


def to_uint8(images: Tensor) -> Tensor:
    """Convert floating-point images in ``[-1, 1]`` to uint8 on the CPU; values are rounded, and clamped to the range.

    Example:
        >>> import torch
        >>> to_uint8(torch.tensor([-1.0, 0.0, 1.0, 7.0])).tolist()
        [0, 128, 255, 255]
    """
    return ((images.detach().cpu().double() + 1) * 127.5).clamp(0, 255).round().byte()


def _in_three_channels(images: Tensor | np.ndarray) -> np.ndarray:
    """Convert uint8 images of shape (N, C, H, W) to a contiguous array of shape (N, H, W, 3)."""
    array = images if isinstance(images, np.ndarray) else images.detach().cpu().numpy()
    if array.dtype != np.uint8:
        raise TypeError(f"images must be uint8, but got {array.dtype}; convert a model's output with to_uint8")
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape:
        raise ValueError(f"images must have the shape (N, C, H, W) with C 1 or 3, but got {array.shape}")
    return np.ascontiguousarray(np.broadcast_to(array, (array.shape[0], 3, *array.shape[2:])).transpose(0, 2, 3, 1))


def _labels(argument: str, labels: Sequence[str] | None, count: int) -> list[str]:
    if labels is None:
        return [""] * count
    if len(labels) != count:
        raise ValueError(f"{argument} must have {count} entries, but got {labels!r}")
    return [str(text) for text in labels]
