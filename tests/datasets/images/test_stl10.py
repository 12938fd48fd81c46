from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_images import save_noise
from torchvision import datasets

from nda_mm.datasets import STL10, DatasetNotReadableError

COUNTS = {"train": 3, "test": 2, "unlabeled": 4}


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The official files with a few images, written as the documentation says: by channel, column and row."""
    rng = np.random.default_rng(0)
    images = {part: rng.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8) for part, count in COUNTS.items()}
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    md5 = {}
    for part, pixels in images.items():
        stored = bytearray()
        for image in pixels:
            for channel in range(3):
                for column in range(96):
                    stored += image[:, column, channel].tobytes()
        (folder / f"{part}_X.bin").write_bytes(stored)
        (folder / f"{part}_y.bin").write_bytes(bytes([1, 10, 3][: len(pixels)]))
        for name in (f"{part}_X.bin", f"{part}_y.bin"):
            md5[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    for kind in ("train_list", "test_list"):
        listed = [[name, md5[name]] for name, _ in getattr(datasets.STL10, kind)]
        monkeypatch.setattr(datasets.STL10, kind, listed)
    return images


def test_official_files_are_read_in_their_order(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    for root in (tmp_path, tmp_path / "stl10_binary"):
        data = STL10(str(root), "train", size=96)
        np.testing.assert_array_equal(data.images, images["train"])
        assert data.labels.tolist() == [0, 9, 2]  # the files count from 1
    assert data.CLASSES[9] == "truck"


def test_other_sizes_are_scaled_with_pillows_filter(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    data = STL10(str(tmp_path))
    expected = [
        np.asarray(Image.fromarray(each).resize((48, 48), Image.Resampling.BICUBIC)) for each in images["unlabeled"]
    ]
    np.testing.assert_array_equal(data.images, expected)


def test_unlabelled_images_carry_no_label_alone_or_with_others(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    for split in ("unlabeled", "train+unlabeled"):
        data = STL10(str(tmp_path), split, size=96)
        np.testing.assert_array_equal(data.images, np.concatenate([images[part] for part in split.split("+")]))
        assert "gt_label" not in data[0]


def test_class_folders_are_read_too(tmp_path: Path) -> None:
    written = [save_noise(tmp_path / "test" / name / "0.png", 96, 96) for name in STL10.METAINFO["classes"]]
    alone = save_noise(tmp_path / "unlabeled" / "0.png", 96, 96)
    data = STL10(str(tmp_path), "test", size=96, allow_partial=True)
    np.testing.assert_array_equal(data.images, written)
    assert data.labels.tolist() == list(range(10))
    np.testing.assert_array_equal(STL10(str(tmp_path), size=96, allow_partial=True).images, alone[None])
    with pytest.raises(DatasetNotReadableError, match="100000"):
        STL10(str(tmp_path))


def test_damaged_files_are_named(tmp_path: Path, images: dict[str, np.ndarray]) -> None:
    (tmp_path / "stl10_binary" / "train_X.bin").write_bytes(bytes(27_000))
    with pytest.raises(DatasetNotReadableError, match=r"damaged are train_X\.bin"):
        STL10(str(tmp_path), "train")
    with pytest.raises(ValueError, match="split"):
        STL10(str(tmp_path), "val")
