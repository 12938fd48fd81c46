"""CIFAR-10-C from files of its own kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nda_mm.datasets import CIFAR10C, DatasetNotReadableError

IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)
LABELS = np.tile(np.array([3, 8, 0], dtype=np.uint8), 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "fog.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path


@pytest.mark.parametrize("severity", [1, 5])
def test_a_severity_is_its_fifth(folder: Path, severity: int) -> None:
    data = CIFAR10C(str(folder), "fog", severity)
    np.testing.assert_array_equal(data.images, IMAGES[3 * severity - 3 : 3 * severity])
    assert data.labels.tolist() == [3, 8, 0]
    assert data.metainfo["classes"][3] == "cat"


@pytest.mark.parametrize(
    ("name", "content"),
    [("fog", IMAGES[:14]), ("fog", IMAGES / 255), ("labels", LABELS[:14]), ("labels", LABELS[:0])],
)
def test_other_content_is_refused(folder: Path, name: str, content: np.ndarray) -> None:
    np.save(folder / f"{name}.npy", content)
    with pytest.raises(DatasetNotReadableError, match=name):
        CIFAR10C(str(folder), "fog")


def test_missing_and_damaged_files_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetNotReadableError, match="snow"):
        CIFAR10C(str(folder), "snow")
    (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:999])
    with pytest.raises(DatasetNotReadableError, match="fog"):
        CIFAR10C(str(folder), "fog")
