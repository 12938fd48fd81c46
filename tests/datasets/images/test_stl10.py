from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import STL10, DatasetNotReadableError

RNG = np.random.default_rng(0)


def write_part(root: Path, part: str, images: np.ndarray, labels: list[int] | None = None) -> None:
    """Images (N, 96, 96, 3) as the official files hold them: written pixel by pixel, by the documentation's words."""
    folder = root / "stl10_binary"
    folder.mkdir(parents=True, exist_ok=True)
    stored = bytearray()
    for image in images:
        for channel in range(3):
            for column in range(96):
                stored += image[:, column, channel].tobytes()
    (folder / f"{part}_X.bin").write_bytes(bytes(stored))
    if labels is not None:
        (folder / f"{part}_y.bin").write_bytes(bytes(labels))


def draw(count: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, 96, 96, 3), dtype=np.uint8)


def test_the_official_files_are_read_in_their_order_of_colours_columns_and_rows(tmp_path: Path) -> None:
    images = draw(3)
    write_part(tmp_path, "train", images, [1, 10, 3])
    data = STL10(str(tmp_path), "train", size=96, allow_partial=True)
    np.testing.assert_array_equal(data.images, images)
    assert data.labels.tolist() == [0, 9, 2]  # the files count from 1
    assert data.CLASSES[9] == "truck"
    assert data[1]["gt_label"] == 9
    at_the_folder_itself = STL10(str(tmp_path / "stl10_binary"), "train", size=96, allow_partial=True)
    np.testing.assert_array_equal(at_the_folder_itself.images, images)


def test_other_sizes_are_scaled_with_pillows_filter(tmp_path: Path) -> None:
    images = draw(2)
    write_part(tmp_path, "unlabeled", images)
    data = STL10(str(tmp_path), allow_partial=True)
    expected = [np.asarray(Image.fromarray(image).resize((48, 48), Image.Resampling.BICUBIC)) for image in images]
    np.testing.assert_array_equal(data.images, np.stack(expected))


def test_unlabelled_images_carry_no_label_alone_or_beside_others(tmp_path: Path) -> None:
    few, many = draw(2), draw(4)
    write_part(tmp_path, "train", few, [4, 5])
    write_part(tmp_path, "unlabeled", many)
    for split, count in (("unlabeled", 4), ("train+unlabeled", 6)):
        data = STL10(str(tmp_path), split, size=96, allow_partial=True)
        assert len(data) == count
        assert "gt_label" not in data[0]
    np.testing.assert_array_equal(data.images, np.concatenate([few, many]))


def test_folders_will_do(tmp_path: Path) -> None:
    image = draw(1)[0]
    for name in STL10.METAINFO["classes"]:
        path = tmp_path / "test" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(image).save(path)
    (tmp_path / "unlabeled").mkdir()
    Image.fromarray(image).save(tmp_path / "unlabeled" / "0.png")
    data = STL10(str(tmp_path), "test", size=96, allow_partial=True)
    assert data.labels.tolist() == list(range(10))
    np.testing.assert_array_equal(data.images[3], image)
    assert len(STL10(str(tmp_path), size=96, allow_partial=True)) == 1
    (tmp_path / "test" / "ship").rename(tmp_path / "test" / "yacht")
    with pytest.raises(DatasetNotReadableError, match="must be the classes airplane, .* but are airplane.*yacht"):
        STL10(str(tmp_path), "test", allow_partial=True)


def test_what_is_missing_truncated_or_incomplete_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DatasetNotReadableError, match=r"(?s)no '.*unlabeled_X\.bin' and no folder.*prepare_data\.py stl10"
    ):
        STL10(str(tmp_path))
    write_part(tmp_path, "train", draw(2), [1, 2])
    folder = tmp_path / "stl10_binary"
    with pytest.raises(DatasetNotReadableError, match=r"part 'train' has 5000 images, but found are 2 \(allow_partial"):
        STL10(str(tmp_path), "train")
    for labels in (bytes([1, 11]), b"", None):
        (folder / "train_y.bin").unlink()
        if labels is not None:
            (folder / "train_y.bin").write_bytes(labels)
        with pytest.raises(DatasetNotReadableError, match="train_y.bin"):
            STL10(str(tmp_path), "train", allow_partial=True)
        (folder / "train_y.bin").touch()
    for images in (bytes(27_000), b""):
        (folder / "train_X.bin").write_bytes(images)
        with pytest.raises(DatasetNotReadableError, match="train_X.bin"):
            STL10(str(tmp_path), "train", allow_partial=True)
    with pytest.raises(ValueError, match="split must be one of .*but got 'val'"):
        STL10(str(tmp_path), "val")
