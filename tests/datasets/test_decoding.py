"""The cache of decoded images, sizes of images, and the resizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import save_noise

from nda_mm.datasets import ImageFolder
from nda_mm.datasets.decoding import image_size, resize_squares


def write_images(root: Path) -> np.ndarray:
    return np.stack([save_noise(root / f"{number:02d}.png") for number in range(30)])


def test_decoded_once_and_again_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_images(tmp_path)
    first = ImageFolder(str(tmp_path))
    np.testing.assert_array_equal(first.images, images)
    assert isinstance(first.images, np.memmap)
    assert not first.images.flags.writeable
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_: pytest.fail("the second load must not decode"))
        np.testing.assert_array_equal(ImageFolder(str(tmp_path)).images, images)
    Image.fromarray(np.full((32, 32, 3), 7, np.uint8)).save(tmp_path / "07.png")
    assert (ImageFolder(str(tmp_path)).images[7] == 7).all()
    assert len(list((tmp_path / ".nda_mm_cache").iterdir())) == 2  # the old cache is gone


def test_one_wrong_byte_anywhere_in_the_cache_is_noticed(tmp_path: Path) -> None:
    images = np.delete(write_images(tmp_path), 4, axis=0)
    (tmp_path / "04.png").write_bytes(b"broken")  # so that the notes have something to say
    np.testing.assert_array_equal(ImageFolder(str(tmp_path)).images, images)
    files = sorted((tmp_path / ".nda_mm_cache").iterdir())
    whole = {path: path.read_bytes() for path in files}
    assert [path.suffix for path in files] == [".json", ".npy"]
    rng = np.random.default_rng(0)
    for path in files * 5:
        damaged = bytearray(whole[path])
        # The first 128 bytes of the array's file are its header.
        damaged[rng.integers(len(damaged)) if rng.random() < 0.5 else rng.integers(128)] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        np.testing.assert_array_equal(ImageFolder(str(tmp_path)).images, images)
    assert {path: path.read_bytes() for path in files} == whole


def test_the_cache_goes_to_the_named_folder_or_nowhere(tmp_path: Path) -> None:
    images = write_images(tmp_path / "data")
    ImageFolder(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert list((tmp_path / "cache").glob("*.npy"))
    ImageFolder(str(tmp_path / "data"), cache_dir=False)
    assert not (tmp_path / "data" / ".nda_mm_cache").exists()
    # A file where the folder should be: nothing can be written there, not even by root.
    (tmp_path / "blocked").write_text("")
    blocked = ImageFolder(str(tmp_path / "data"), cache_dir=str(tmp_path / "blocked"))
    np.testing.assert_array_equal(blocked.images, images)


def test_resizing_is_pillows_filter_and_keeps_what_fits() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    assert resize_squares(images, 12) is images
    expected = [np.asarray(Image.fromarray(image).resize((5, 5), Image.Resampling.BICUBIC)) for image in images]
    np.testing.assert_array_equal(resize_squares(images, 5), np.stack(expected))
    gray = np.asarray(Image.fromarray(images[0, ..., 0]).resize((5, 5), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize_squares(images[:1, ..., :1], 5)[0, ..., 0], gray)


def test_a_truncated_image_is_found_by_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    save_noise(path, 40, 30)
    assert image_size(path, decode=False) == image_size(path, decode=True) == (30, 40)
    path.write_bytes(path.read_bytes()[:-400])
    assert image_size(path, decode=False) == (30, 40)
    with pytest.raises(OSError, match="truncated"):
        image_size(path, decode=True)


def test_the_size_is_that_of_the_upright_image(tmp_path: Path) -> None:
    import cv2

    image = Image.new("RGB", (30, 20))
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.jpg"
        image.save(path, exif=exif)
        height, width = cv2.imread(str(path)).shape[:2]
        assert image_size(path, decode=False) == (width, height)
