"""SVHN from a file of its own kind, whose checksum stands for the published one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import SVHN, DatasetNotReadableError

io = pytest.importorskip("scipy.io")
published = pytest.importorskip("torchvision.datasets").SVHN
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([[1], [10], [9], [10], [5]], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "test_32x32.mat"
    io.savemat(path, dict(X=IMAGES.transpose(1, 2, 3, 0), y=LABELS))
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(published.split_list, "test", [published.split_list["test"][0], path.name, md5])
    return tmp_path


def test_images_and_labels_are_the_files_with_ten_as_zero(folder: Path) -> None:
    for root in (folder, folder / "test_32x32.mat"):
        data = SVHN(str(root))
        np.testing.assert_array_equal(data.images, IMAGES)
        assert data.labels.tolist() == [1, 0, 9, 0, 5]
    assert data[1]["gt_label"] == 0


def test_another_size_is_pillows_bicubic(folder: Path) -> None:
    data = SVHN(str(folder), size=16, every=2)
    expected = [np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BICUBIC)) for each in IMAGES[::2]]
    np.testing.assert_array_equal(data.images, expected)


def test_a_missing_or_damaged_file_is_refused(folder: Path) -> None:
    path = folder / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetNotReadableError, match=r"test_32x32\.mat'.*MD5"):
        SVHN(str(folder))
    with pytest.raises(DatasetNotReadableError, match=r"train_32x32\.mat'.*no such file"):
        SVHN(str(folder), split="train")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="split"):
        SVHN(split="val")
    with pytest.raises(ValueError, match="size"):
        SVHN(size=0)
