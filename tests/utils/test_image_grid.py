from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from nda_mm.utils.image_grid import BACKGROUND, INK, image_grid, save_image_grid, to_uint8


def random_images(count: int, channels: int = 3, height: int = 5, width: int = 4) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("padding", [0, 2])
def test_every_pixel_stands_at_its_place(scale: int, padding: int) -> None:
    images = random_images(7)
    sheet = np.asarray(image_grid(images, columns=3, scale=scale, padding=padding))
    expected = np.full((padding + 3 * (5 * scale + padding), padding + 3 * (4 * scale + padding), 3), 255, np.uint8)
    for index in range(7):
        row, column = index // 3, index % 3
        for y in range(5 * scale):
            for x in range(4 * scale):
                target = padding + row * (5 * scale + padding) + y, padding + column * (4 * scale + padding) + x
                expected[target] = images[index, :, y // scale, x // scale]
    np.testing.assert_array_equal(sheet, expected)


def test_grey_is_shown_as_equal_channels_and_numpy_serves() -> None:
    images = random_images(1, channels=1).numpy()
    sheet = np.asarray(image_grid(images, padding=0))
    for channel in range(3):
        np.testing.assert_array_equal(sheet[..., channel], images[0, 0])


def test_labels_are_written_outside_the_images() -> None:
    images = torch.zeros(4, 3, 16, 16, dtype=torch.uint8) + 200
    plain = image_grid(images, columns=2)
    labelled = image_grid(
        images, labels=["a", "b", "c", ""], column_labels=["real", "a long heading"], row_labels=["first", "second"]
    )
    array = np.asarray(labelled)
    assert labelled.width > plain.width and labelled.height > plain.height
    # No image pixel is covered by text, and dark ink is there.
    assert (array == 200).all(axis=-1).sum() == 4 * 16 * 16
    assert (np.abs(array.astype(int) - np.array(INK)).sum(axis=-1) < 60).sum() > 20
    assert tuple(array[-1, -1]) == BACKGROUND


def test_columns_default_to_the_headings_then_to_a_square() -> None:
    images = random_images(6)
    assert image_grid(images, padding=0).size == (3 * 4, 2 * 5)
    assert image_grid(images, padding=0, column_labels=["", ""]).size == (2 * 4, 3 * 5)


def test_save_makes_the_folder(tmp_path) -> None:
    path = save_image_grid(tmp_path / "new" / "grid.png", random_images(2), columns=2, padding=0)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image)[:, :4], random_images(2)[0].permute(1, 2, 0))


def test_to_uint8_is_the_inverse_of_the_usual_normalisation() -> None:
    values = torch.arange(256, dtype=torch.float32)
    torch.testing.assert_close(to_uint8((values - 127.5) / 127.5), values.byte(), rtol=0, atol=0)
    assert to_uint8(torch.tensor([-0.5, 0.25, 3.0]), low=0.0, high=1.0).tolist() == [0, 64, 255]


@pytest.mark.parametrize(
    ("images", "settings", "error", "message"),
    [
        (torch.zeros(1, 3, 4, 4), {}, TypeError, "uint8.*float32.*to_uint8"),
        (torch.zeros(1, 2, 4, 4).byte(), {}, ValueError, r"C 1 or 3.*\(1, 2, 4, 4\)"),
        (torch.zeros(3, 4, 4).byte(), {}, ValueError, r"\(N, C, H, W\)"),
        (torch.zeros(0, 3, 4, 4).byte(), {}, ValueError, "none empty"),
        (torch.zeros(2, 3, 4, 4).byte(), {"labels": ["a"]}, ValueError, "labels, one for each image: 2 texts"),
        (torch.zeros(2, 3, 4, 4).byte(), {"columns": 0}, ValueError, "columns=0"),
        (torch.zeros(2, 3, 4, 4).byte(), {"scale": 0}, ValueError, "scale=0"),
    ],
)
def test_what_does_not_fit_is_refused(images, settings, error, message) -> None:
    with pytest.raises(error, match=message):
        image_grid(images, **settings)


def test_to_uint8_refuses_an_empty_range() -> None:
    with pytest.raises(ValueError, match="high > low.*low=1.0, high=1.0"):
        to_uint8(torch.zeros(1), low=1.0, high=1.0)
