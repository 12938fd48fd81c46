"""SVHN from a file of its own kind, and every way in which the file can be wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import SVHN, DatasetNotReadableError

io = pytest.importorskip("scipy.io")
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([[1], [10], [9], [10], [5]], dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    io.savemat(tmp_path / "test_32x32.mat", dict(X=IMAGES.transpose(1, 2, 3, 0), y=LABELS))
    return tmp_path


def test_images_and_labels_are_the_files_with_ten_as_zero(folder: Path) -> None:
    for root in (folder, folder / "test_32x32.mat"):
        data = SVHN(str(root))
        np.testing.assert_array_equal(data.images, IMAGES)
        assert data.labels.tolist() == [1, 0, 9, 0, 5]
        assert data.resizing == "32x32 as they are"
    assert data[1]["gt_label"] == 0


def test_another_size_is_pillows_bicubic_and_said(folder: Path) -> None:
    data = SVHN(str(folder), size=16, every=2)
    expected = [np.asarray(Image.fromarray(each).resize((16, 16), Image.Resampling.BICUBIC)) for each in IMAGES[::2]]
    np.testing.assert_array_equal(data.images, expected)
    assert data.resizing == "32x32 to 16x16, bicubic, antialiased"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (dict(X=IMAGES.transpose(1, 2, 3, 0)), r"it holds \['X'\], not X and y"),
        (dict(X=IMAGES, y=LABELS), r"X is uint8 \(5, 32, 32, 3\) and y has 5 labels, where uint8 \(32, 32, 3, N\)"),
        (dict(X=IMAGES.transpose(1, 2, 3, 0), y=LABELS[:3]), "y has 3 labels"),
        (dict(X=np.zeros((32, 32, 3, 0), np.uint8), y=np.zeros((0, 1))), "y has 0 labels"),
        (dict(X=IMAGES.transpose(1, 2, 3, 0) / 255, y=LABELS), "X is float64"),
    ],
)
def test_other_content_is_refused_with_the_file_and_the_remedy(tmp_path: Path, content: dict, message: str) -> None:
    io.savemat(tmp_path / "test_32x32.mat", content)
    with pytest.raises(DatasetNotReadableError, match=rf"test_32x32\.mat'.*{message}.*Fetch http://ufldl"):
        SVHN(str(tmp_path))


def test_a_missing_or_damaged_file_is_refused(folder: Path) -> None:
    path = folder / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DatasetNotReadableError, match=r"test_32x32\.mat'.*it is damaged"):
        SVHN(str(folder))
    with pytest.raises(DatasetNotReadableError, match=r"train_32x32\.mat'.*there is no such file.*as data_root"):
        SVHN(str(folder), split="train")


def test_more_than_the_set_has_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the headers say is enough."""
    monkeypatch.setattr(io, "loadmat", lambda *_, **__: pytest.fail("nothing is to be read"))
    for content in (dict(X=np.zeros(1), y=np.zeros((1, 531_132), np.uint8)), dict(X={"a": IMAGES}, y=LABELS)):
        io.savemat(folder / "test_32x32.mat", content, do_compression=True)
        with pytest.raises(DatasetNotReadableError, match=r"test_32x32\.mat'.*which nothing in SVHN is"):
            SVHN(str(folder))


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="split must be 'train', 'test' or 'extra', but got 'val'"):
        SVHN(split="val")
    with pytest.raises(ValueError, match="size must be a whole number of pixels, at least 1, but got 0"):
        SVHN(size=0)
