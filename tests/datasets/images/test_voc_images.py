from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_detection as tiny
from PIL import Image
from tiny_images import save_noise

from nda_mm.datasets import VOCImages


def test_the_listed_images_alone_are_read_in_order_and_scaled_to_fill(tmp_path: Path) -> None:
    colors = {"b": (250, 0, 0), "a": (0, 250, 0), "left_out": (0, 0, 250)}
    (tmp_path / "JPEGImages").mkdir()
    for name, color in colors.items():
        Image.new("RGB", (90, 60), color).save(tmp_path / "JPEGImages" / f"{name}.png")
    tiny.list_images(tmp_path, ["b", "a"], "train")
    data = VOCImages(str(tmp_path), size=(30, 40), image_key="img")
    assert data.images.shape == (2, 30, 40, 3)
    np.testing.assert_array_equal(data.images[:, 0, 0], [colors["b"], colors["a"]])
    assert data[0]["img_channel_order"] == "RGB"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    tiny.list_images(tmp_path, ["a", "b"])
    save_noise(tmp_path / "JPEGImages" / "a.jpg")
    with pytest.raises(ValueError, match=r"(?s)1 of 2.*b\.jpg"):
        VOCImages(str(tmp_path), size=(8, 8))
