"""Square images in an array, brought to another size, and how that was done in words."""

from __future__ import annotations

import numpy as np


def check_size(size: int) -> int:
    """The size, if it can be one.

    Raises:
        ValueError: If it is no whole number of at least 1.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be a whole number of pixels, at least 1, but got {size!r}")
    return size


def resize_squares(images: np.ndarray, size: int) -> np.ndarray:
    """Resize by Pillow's bicubic filter, which averages what the target cannot hold; the same size changes nothing.

    Args:
        images: uint8. Shape: (N, S, S, C), C 1 or 3.
        size: New side in pixels.

    Returns:
        uint8; the array itself where it has the size. Shape: (N, size, size, C).

    Example:
        >>> resize_squares(np.full((2, 8, 8, 3), 7, dtype=np.uint8), 4)[1, 0, 0].tolist()
        [7, 7, 7]
    """
    from PIL import Image

    if images.shape[1:3] == (size, size):
        return images
    resized = np.empty((len(images), size, size, images.shape[-1]), dtype=np.uint8)
    for target, image in zip(resized, images, strict=True):
        picture = Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image)
        scaled = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC))
        target[...] = scaled.reshape(target.shape)
    return resized


def resizing_of_squares(source: int, size: int) -> str:
    """What :func:`resize_squares` does, for a report.

    Example:
        >>> resizing_of_squares(32, 16)
        '32x32 to 16x16, bicubic, antialiased'
    """
    return (
        f"{size}x{size} as they are" if size == source else f"{source}x{source} to {size}x{size}, bicubic, antialiased"
    )
