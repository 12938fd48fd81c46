from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nda_mm.utils.image_grid import BACKGROUND, INK, image_grid, save_image_grid, to_uint8


def random_images(count: int, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, 5, 4), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(("scale", "padding", "channels"), [(1, 0, 1), (3, 2, 3)])
def test_every_pixel_is_in_its_place(scale: int, padding: int, channels: int) -> None:
    images = random_images(7, channels)
    grid = np.asarray(image_grid(images, columns=3, scale=scale, padding=padding))
    expected = np.full((padding + 3 * (5 * scale + padding), padding + 3 * (4 * scale + padding), 3), 255, np.uint8)
    for index in range(7):
        row, column = index // 3, index % 3
        for y in range(5 * scale):
            for x in range(4 * scale):
                target = padding + row * (5 * scale + padding) + y, padding + column * (4 * scale + padding) + x
                expected[target] = images[index, :, y // scale, x // scale]
    np.testing.assert_array_equal(grid, expected)


def test_labels_are_written_outside_the_images() -> None:
    images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8) + 200
    plain = image_grid(images)
    labeled = image_grid(images, column_labels=["real", "a long heading"], row_labels=["first", "second"])
    array = np.asarray(labeled)
    assert labeled.width > plain.width and labeled.height > plain.height
    # No image pixel is covered by text, and dark ink is there.
    assert (array == 200).all(axis=-1).sum() == 4 * 16 * 16
    assert (np.abs(array.astype(int) - np.array(INK)).sum(axis=-1) < 60).sum() > 20
    assert tuple(array[-1, -1]) == BACKGROUND


def test_columns_default_to_the_headings_then_to_a_square(tmp_path) -> None:
    path = save_image_grid(tmp_path / "new" / "grid.png", random_images(6), padding=0)
    assert Image.open(path).size == (3 * 4, 2 * 5)
    assert image_grid(random_images(6), padding=0, column_labels=["", ""]).size == (2 * 4, 3 * 5)


def test_to_uint8_is_the_inverse_of_the_usual_normalization() -> None:
    values = torch.arange(256, dtype=torch.float32)
    torch.testing.assert_close(to_uint8((values - 127.5) / 127.5), values.byte(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("images", "settings", "error", "match"),
    [
        (torch.zeros(1, 3, 4, 4), {}, TypeError, "images"),
        (torch.zeros(1, 2, 4, 4).byte(), {}, ValueError, "images"),
        (torch.zeros(2, 3, 4, 4).byte(), {"row_labels": ["a", "b"]}, ValueError, "row_labels"),
    ],
)
def test_what_does_not_fit_is_refused(images, settings, error, match) -> None:
    with pytest.raises(error, match=match):
        image_grid(images, **settings)
