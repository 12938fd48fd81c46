"""OpenOOD's image lists, and what is read without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import save_noise

from nda_mm.datasets import DatasetNotReadableError, OpenOODImages

pytest.importorskip("torchvision")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, size in (("tin/a.png", (64, 64)), ("tin/b.png", (50, 75)), ("cifar10/c.png", (32, 32))):
        save_noise(tmp_path / "images_classic" / name, *size)
    write_list(tmp_path, "tin", "tin/b.png -1\ntin/a.png -1\n")
    write_list(tmp_path, "cifar10", "cifar10/c.png 3\n\n")
    return tmp_path


def write_list(root: Path, name: str, text: str) -> None:
    folder = root / "benchmark_imglist" / "cifar10"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"test_{name}.txt").write_text(text)


def test_images_are_resized_and_cropped_as_the_benchmark_does(root: Path) -> None:
    data = OpenOODImages("tin", data_root=str(root))
    with Image.open(root / "images_classic/tin/b.png") as image:
        resized = image.resize((48, 32), Image.Resampling.BILINEAR)  # int(32 * 75 / 50) wide
        np.testing.assert_array_equal(data.images[0], np.asarray(resized)[:, 8:40])
    with Image.open(root / "images_classic/tin/a.png") as image:
        np.testing.assert_array_equal(data.images[1], np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR)))
    assert "gt_label" not in data[0]
    assert data.resizing.startswith("OpenOOD's list; short side to 32, bilinear")
    inside = OpenOODImages("cifar10", data_root=str(root))
    assert inside[0]["gt_label"] == 3
    with Image.open(root / "images_classic/cifar10/c.png") as image:
        np.testing.assert_array_equal(inside.images[0], np.asarray(image))


def test_without_a_list_another_data_set_is_read(root: Path, tmp_path: Path) -> None:
    save_noise(tmp_path / "dtd" / "images" / "banded" / "a.jpg")
    textures = OpenOODImages(
        "texture", data_root=str(root), otherwise=dict(type="nda_mm.DTD", data_root=f"{tmp_path}/dtd")
    )
    assert textures.images.shape == (1, 32, 32, 3)
    assert textures.resizing.startswith("no list of OpenOOD, all of DTD; short side to 32, bilinear")
    digits = OpenOODImages("mnist", data_root=str(root), otherwise=dict(type="nda_mm.Digits", split="test", size=28))
    assert digits.images.shape == (445, 32, 32, 3)
    with pytest.raises(DatasetNotReadableError, match=r"test_svhn\.txt'.*absent"):
        OpenOODImages("svhn", data_root=str(root), otherwise=dict(type="nda_mm.SVHN", data_root="absent"))
    with pytest.raises(DatasetNotReadableError, match="otherwise"):
        OpenOODImages("svhn", data_root=str(root))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tin/a.png\n", "line 1"),
        ("a.png 0\nb.png -1.5\n", "line 2"),
        ("a.png 0\n../a.png -1\n", "line 2"),
        ("/a.png 1\n", "line 1"),
        ("", "no images"),
    ],
)
def test_a_list_that_is_none_is_refused(root: Path, text: str, name: str) -> None:
    write_list(root, "tin", text)
    with pytest.raises(DatasetNotReadableError, match=name):
        OpenOODImages("tin", data_root=str(root))


def test_a_missing_image_is_refused_unless_allowed(root: Path) -> None:
    (root / "images_classic/tin/a.png").unlink()
    with pytest.raises(ValueError, match=r"(?s)1 of 2 image files.*a\.png"):
        OpenOODImages("tin", data_root=str(root))
    assert len(OpenOODImages("tin", data_root=str(root), max_bad=0.5)) == 1
    with pytest.raises(ValueError, match="split"):
        OpenOODImages("tin", split="all")
