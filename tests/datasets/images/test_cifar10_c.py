"""CIFAR-10-C from files of its own kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nda_mm.datasets import CIFAR10C, DatasetNotReadableError
from nda_mm.datasets.images.cifar10_c import CORRUPTIONS

IMAGES = np.random.default_rng(0).integers(0, 256, (15, 32, 32, 3), dtype=np.uint8)
LABELS = np.tile(np.array([3, 8, 0], dtype=np.uint8), 5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "fog.npy", IMAGES)
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path


def test_there_are_19_corruptions() -> None:
    assert len(set(CORRUPTIONS)) == 19


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_a_severity_is_its_fifth(folder: Path, severity: int) -> None:
    data = CIFAR10C(str(folder), "fog", severity)
    np.testing.assert_array_equal(data.images, IMAGES[3 * severity - 3 : 3 * severity])
    assert data.labels.tolist() == [3, 8, 0]
    assert data.metainfo["classes"][3] == "cat"
    assert data.resizing == "32x32 as they are"


def test_it_is_resized(folder: Path) -> None:
    data = CIFAR10C(str(folder), "fog", 5, size=64)
    assert data.images.shape == (3, 64, 64, 3)
    assert data.resizing == "32x32 to 64x64, bicubic, antialiased"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("fog", IMAGES[:14], r"fog\.npy: .*uint8 \(14, 32, 32, 3\)"),
        ("fog", IMAGES / 255, r"fog\.npy: .*float64"),
        ("labels", LABELS[:14], r"labels\.npy: .*uint8 \(14,\)"),
        ("labels", LABELS[:0], r"labels\.npy: .*uint8 \(0,\)"),
        ("labels", LABELS / 2, r"labels\.npy: .*float64"),
    ],
)
def test_other_content_is_refused(folder: Path, name: str, content: np.ndarray, message: str) -> None:
    np.save(folder / f"{name}.npy", content)
    with pytest.raises(DatasetNotReadableError, match=message):
        CIFAR10C(str(folder), "fog")


def test_missing_and_damaged_files_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetNotReadableError, match=r"snow\.npy: FileNotFoundError"):
        CIFAR10C(str(folder), "snow")
    (folder / "fog.npy").write_bytes((folder / "fog.npy").read_bytes()[:999])
    with pytest.raises(DatasetNotReadableError, match=r"fog\.npy: "):
        CIFAR10C(str(folder), "fog")


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="corruption must be one of brightness, .*but got 'rain'"):
        CIFAR10C(corruption="rain")
    with pytest.raises(ValueError, match=r"severity must be one of \(1, 2, 3, 4, 5\), but got 6"):
        CIFAR10C(severity=6)
