from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_images import save_noise

from nda_mm.datasets import ImageFolder
from nda_mm.datasets.images.image_folder import read_square


def test_subfolders_are_classes_in_alphabetical_order(tmp_path: Path) -> None:
    images = [save_noise(tmp_path / name) for name in ("apple/1.png", "apple/deep/2.png", "train/0.png", "zoo/9.png")]
    (tmp_path / "empty").mkdir()
    (tmp_path / "zoo" / "notes.txt").write_text("not an image")
    (tmp_path / "zoo" / "._9.png").write_text("the companion that macOS leaves behind")
    data = ImageFolder(str(tmp_path))
    assert data.metainfo["classes"] == ("apple", "train", "zoo")
    assert data.labels.tolist() == [0, 0, 1, 2]
    np.testing.assert_array_equal(data.images, np.stack(images))


def test_labels_can_be_ignored_or_demanded(tmp_path: Path) -> None:
    save_noise(tmp_path / "a" / "0.png")
    save_noise(tmp_path / "b" / "0.png")
    assert ImageFolder(str(tmp_path), with_labels=False).labels.tolist() == [0, 0]
    assert "gt_label" not in ImageFolder(str(tmp_path / "a"))[0]
    with pytest.raises(FileNotFoundError, match="holds no subfolders with images"):
        ImageFolder(str(tmp_path / "a"), with_labels=True)
    save_noise(tmp_path / "loose.png")
    with pytest.raises(ValueError, match=r"loose\.png.*with_labels"):
        ImageFolder(str(tmp_path))
    assert len(ImageFolder(str(tmp_path), with_labels=False)) == 3


def test_split_is_taken_where_it_exists(tmp_path: Path) -> None:
    save_noise(tmp_path / "train" / "0.png")
    save_noise(tmp_path / "test" / "0.png")
    save_noise(tmp_path / "test" / "1.png")
    assert len(ImageFolder(str(tmp_path), split="test")) == 2
    assert len(ImageFolder(str(tmp_path / "test"), split="test")) == 2


@pytest.mark.parametrize(("height", "width"), [(64, 96), (24, 16)])
def test_short_side_is_scaled_and_the_centre_kept(tmp_path: Path, height: int, width: int) -> None:
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    smooth = np.stack([across, down, np.full((height, width), 90)])
    Image.fromarray(smooth.transpose(1, 2, 0).astype(np.uint8)).save(tmp_path / "a.png")
    ours = read_square(tmp_path / "a.png", 32)
    # Reference: scale the whole image by the same factor, then take the center.
    scaled_size = [round(side * 32 / min(height, width)) for side in (height, width)]
    scaled = torch.nn.functional.interpolate(
        torch.from_numpy(smooth).floor()[None], scaled_size, mode="bicubic", antialias=True, align_corners=False
    )[0]
    top, left = [(side - 32) // 2 for side in scaled_size]
    expected = scaled[:, top : top + 32, left : left + 32].permute(1, 2, 0).numpy()
    # The borders differ: what the crop leaves out still enters the reference.
    assert np.abs(ours[3:-3, 3:-3].astype(float) - expected[3:-3, 3:-3]).max() <= 1.5


def test_every_mode_becomes_upright_rgb(tmp_path: Path) -> None:
    red = Image.new("RGB", (32, 32), (200, 30, 60))
    red.save(tmp_path / "rgb.png")
    Image.new("RGBA", (32, 32), (200, 30, 60, 0)).save(tmp_path / "transparent.png")
    Image.new("L", (32, 32), 77).save(tmp_path / "gray.png")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    Image.fromarray(np.full((32, 32), 77 * 257, np.uint16)).save(tmp_path / "grey16.png")
    Image.fromarray(np.full((32, 32), 5, np.float32)).save(tmp_path / "float.tif")
    for name, color, tolerance in [
        ("rgb.png", (200, 30, 60), 0),
        ("transparent.png", (255, 255, 255), 0),
        ("gray.png", (77, 77, 77), 0),
        ("cmyk.jpg", (200, 30, 60), 4),
        ("grey16.png", (77, 77, 77), 0),
        ("float.tif", (0, 0, 0), 0),  # whose only value is the lowest
    ]:
        image = read_square(tmp_path / name, 16)
        assert np.abs(image.astype(int) - np.array(color)).max() <= tolerance, name

    # EXIF orientation 6: the camera was turned; the first row of the file is the right column of the picture.
    exif = Image.Exif()
    exif[0x0112] = 6
    sideways = np.zeros((32, 32, 3), np.uint8)
    sideways[0] = 255
    Image.fromarray(sideways).save(tmp_path / "turned.png", exif=exif)
    upright = read_square(tmp_path / "turned.png", 32)
    assert (upright[:, -1] == 255).all()


def test_missing_or_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ImageFolder(str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="holds no images"):
        ImageFolder(str(tmp_path))


def test_unreadable_files_are_refused_or_left_out_and_the_file_of_each_image_is_known(tmp_path: Path) -> None:
    for number in range(6):
        save_noise(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"(?s)max_bad.*2\.png"):
        ImageFolder(str(tmp_path))
    part = ImageFolder(str(tmp_path), max_bad=0.5, every=2, indices=[0, 2])
    assert [path.name for path in part.files] == ["0.png", "5.png"]
    for path, image in zip(part.files, part.images, strict=True):
        np.testing.assert_array_equal(image, read_square(path, 32))
