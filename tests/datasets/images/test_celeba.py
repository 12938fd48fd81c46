from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import CelebA, DatasetNotReadableError
from nda_mm.datasets.images.celeba import LAST, read_partition

RNG = np.random.default_rng(0)


def face(path: Path) -> np.ndarray:
    """A picture of CelebA's size with a smooth ramp, so that its scaling can be told; lossless."""
    path.parent.mkdir(parents=True, exist_ok=True)
    low = RNG.integers(0, 100, 3)
    across = np.linspace(0, 150, 178)[None, :, None] + low
    image = np.broadcast_to(across, (218, 178, 3)).astype(np.uint8)
    Image.fromarray(image).save(path, "png")
    return image


def make_celeba(root: Path, splits: str = "001120") -> list[np.ndarray]:
    faces = [face(root / "img_align_celeba" / f"{number:06d}.jpg") for number in range(1, len(splits) + 1)]
    lines = [f"{number:06d}.jpg {split}\n" for number, split in enumerate(splits, 1)]
    (root / "list_eval_partition.txt").write_text("".join(lines))
    return faces


def test_the_splits_are_the_lists(tmp_path: Path) -> None:
    faces = make_celeba(tmp_path)
    expected = {"train": [0, 1, 5], "val": [2, 3], "test": [4], "all": [0, 1, 2, 3, 4, 5]}
    for split, numbers in expected.items():
        data = CelebA(str(tmp_path), split, size=178)
        assert "gt_label" not in data[0]
        # The whole width, and of the height 20 rows off at both ends.
        np.testing.assert_array_equal(data.images, np.stack([faces[number][20:198] for number in numbers]))


def test_without_the_list_the_official_numbers_hold(tmp_path: Path) -> None:
    for number in (1, LAST[0], LAST[0] + 1, LAST[1], LAST[1] + 1, LAST[2]):
        face(tmp_path / "img_align_celeba" / f"{number:06d}.jpg")
    with pytest.raises(DatasetNotReadableError, match="162768 are missing"):
        CelebA(str(tmp_path))
    expected = {"train": ("000001", "162770"), "val": ("162771", "182637"), "test": ("182638", "202599")}
    for split, names in expected.items():
        assert [path.stem for path in CelebA(str(tmp_path), split, allow_partial=True).files] == list(names)


def test_the_centered_square_is_scaled(tmp_path: Path) -> None:
    faces = make_celeba(tmp_path, "00")
    for crop in (178, 108, 178):  # which do not share a cache
        data = CelebA(str(tmp_path), size=64, crop=crop)
        assert data.images.shape == (2, 64, 64, 3)
        # A ramp stays a ramp: a pixel of the small image has the value at its center in the large one.
        centers = (np.arange(64) + 0.5) * crop / 64 - 0.5 + (178 - crop) / 2
        for image, large in zip(data.images, faces, strict=True):
            expected = np.stack([np.interp(centers, np.arange(178), plane) for plane in large[0].T], axis=1)
            assert np.abs(image[32, 2:-2] - expected[2:-2]).max() <= 1.5


def test_what_is_missing_is_named_with_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(DatasetNotReadableError, match=r"(?s)no folder .*img_align_celeba.*prepare_data\.py celeba"):
        CelebA(str(tmp_path))
    make_celeba(tmp_path)
    (tmp_path / "img_align_celeba" / "000002.jpg").unlink()
    with pytest.raises(DatasetNotReadableError, match=r"000002\.jpg \(allow_partial"):
        CelebA(str(tmp_path))
    assert len(CelebA(str(tmp_path), allow_partial=True)) == 2
    with pytest.raises(ValueError, match="crop"):
        CelebA(str(tmp_path), crop=128)


def test_a_damaged_list_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "list_eval_partition.txt"
    path.write_text("000001.jpg 0\n\n000002.jpg 3\n")
    with pytest.raises(ValueError, match="list_eval_partition.txt.*line 3"):
        read_partition(path)
    path.write_text("000001.jpg 0\n000002.jpg  2\n")
    assert read_partition(path) == [("000001.jpg", 0), ("000002.jpg", 2)]
