"""Small images on sheets: every pixel comes back, in the old order, whatever parts come and in whatever order."""

from __future__ import annotations

import shutil
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import CIFAR10
from nda_mm.datasets.files.image_sheets import CONTENTS, read_contents, unpack_sheets, write_sheets

CLASSES = CIFAR10.METAINFO["classes"]


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """(10 classes, 7 images, 32, 32, 3), noise: what a lossy file would change."""
    return np.random.default_rng(3).integers(0, 256, (10, 7, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def source(images: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of class folders; the names' order is not that of their numbers."""
    path = tmp_path_factory.mktemp("source") / "cifar10.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cifar10/README.md", "not an image")
        for split in ("train", "test"):
            for name, few in zip(CLASSES, images if split == "train" else images[:, :3], strict=True):
                for number, image in enumerate(few):
                    buffer = BytesIO()
                    Image.fromarray(image).save(buffer, "png")
                    archive.writestr(f"cifar10/{split}/{name}/photo_{number}_of_{name}.png", buffer.getvalue())
    return path


def as_read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    data = CIFAR10(str(folder), split, allow_partial=True, cache_dir=False)
    return data.images, data.labels


@pytest.mark.parametrize("per_sheet", [1, 3, 1000])
def test_the_reader_finds_the_same_images_in_the_same_order(
    tmp_path: Path, source: Path, images: np.ndarray, per_sheet: int
) -> None:
    sheets = write_sheets([source], tmp_path / "sheets", per_sheet=per_sheet)
    assert len(sheets) == 10 * (-(-7 // per_sheet) + -(-3 // per_sheet))
    assert unpack_sheets([tmp_path / "sheets"], tmp_path / "data") == (100, [])
    for split, expected in (("train", images), ("test", images[:, :3])):
        found, labels = as_read(tmp_path / "data", split)
        np.testing.assert_array_equal(found, expected.reshape(-1, 32, 32, 3))
        np.testing.assert_array_equal(labels, np.repeat(np.arange(10), expected.shape[1]))


def test_parts_may_come_one_after_the_other(tmp_path: Path, source: Path) -> None:
    folder, parts = tmp_path / "sheets", [tmp_path / "first", tmp_path / "second"]
    sheets = write_sheets([source], folder, per_sheet=4)
    for number, sheet in enumerate(sheets):
        for part in parts:
            part.mkdir(exist_ok=True)
            shutil.copy(folder / CONTENTS, part)
        target = parts[number % 2] / sheet.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / sheet.file, target)
    done, missing = unpack_sheets(parts[:1], tmp_path / "data")
    assert done == sum(sheet.count for sheet in sheets[::2])
    assert missing == [sheet.file for sheet in sheets[1::2]]
    shutil.rmtree(parts[0])  # what is unpacked is not asked for again
    assert unpack_sheets(parts[1:], tmp_path / "data") == (100, [])
    folder_of_a_class = tmp_path / "data" / "train" / "cat"
    shutil.rmtree(folder_of_a_class)
    done, missing = unpack_sheets(parts[1:], tmp_path / "data")
    assert done == 100 - sum(sheet.count for sheet in sheets[::2] if (sheet.split, sheet.category) == ("train", "cat"))
    assert all(name.startswith("train/cat/") for name in missing)


def test_sheets_of_photographs_are_smaller_than_their_files(tmp_path: Path, needs_shared_data: Path) -> None:
    archive = zipfile.ZipFile(needs_shared_data / "cifar10_test.zip")
    names = [name for name in archive.namelist() if name.endswith(".png")][:200]
    archive.extractall(tmp_path / "few", names)
    sheets = write_sheets([tmp_path / "few"], tmp_path / "sheets")
    size = sum((tmp_path / "sheets" / sheet.file).stat().st_size for sheet in sheets)
    assert size < 0.8 * sum(archive.getinfo(name).file_size for name in names)


class TestRefused:
    def test_a_damaged_sheet(self, tmp_path: Path, source: Path) -> None:
        sheets = write_sheets([source], tmp_path)
        path = tmp_path / sheets[0].file
        with Image.open(path) as picture:
            pixels = np.asarray(picture).copy()
        pixels[0, 0, 0] ^= 1
        Image.fromarray(pixels).save(path, "WEBP", lossless=True)
        with pytest.raises(ValueError, match=r"000000\.webp' is damaged: its pixels are not those that were packed"):
            unpack_sheets([tmp_path], tmp_path / "data")

    def test_parts_of_different_sets(self, tmp_path: Path, source: Path) -> None:
        write_sheets([source], tmp_path / "a")
        write_sheets([source], tmp_path / "b", per_sheet=2)
        with pytest.raises(ValueError, match="parts of different sets of sheets"):
            unpack_sheets([tmp_path / "a", tmp_path / "b"], tmp_path / "data")

    def test_folders_that_hold_other_images(self, tmp_path: Path, source: Path) -> None:
        write_sheets([source], tmp_path / "a")
        write_sheets([source], tmp_path / "b", per_sheet=2)
        unpack_sheets([tmp_path / "a"], tmp_path / "data")
        with pytest.raises(ValueError, match="holds other files, such as '.000000_"):
            unpack_sheets([tmp_path / "b"], tmp_path / "data")
        (tmp_path / "data" / "test" / "frog" / "mine.png").touch()
        with pytest.raises(ValueError, match=r"test/frog' holds other files, such as 'mine\.png'; unpack to another"):
            unpack_sheets([tmp_path / "a"], tmp_path / "data")

    def test_a_folder_without_a_list(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"sheets\.json' is no list of sheets"):
            read_contents(tmp_path)

    def test_sources_without_images_or_with_the_same_ones(self, tmp_path: Path, source: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"holds no images as \.\.\./train/CLASS/"):
            write_sheets([tmp_path / "empty"], tmp_path / "out")
        with pytest.raises(ValueError, match="hold the same split and class"):
            write_sheets([source, source], tmp_path / "out")
        broken = tmp_path / "broken.zip"
        broken.write_bytes(b"PK")
        with pytest.raises(ValueError, match=r"broken\.zip' is truncated or no zip file"):
            write_sheets([broken], tmp_path / "out")

    def test_images_of_several_sizes(self, tmp_path: Path) -> None:
        folder = tmp_path / "images" / "train" / "cat"
        folder.mkdir(parents=True)
        for side in (8, 9):
            Image.new("RGB", (side, side)).save(folder / f"{side}.png")
        with pytest.raises(ValueError, match=r"differ in size: \(8, 8, 3\) and \(9, 9, 3\)"):
            write_sheets([tmp_path / "images"], tmp_path / "out")

    def test_sheets_beyond_what_the_format_holds(self, tmp_path: Path, source: Path) -> None:
        with pytest.raises(ValueError, match="per_sheet must be from 1 to 10,000"):
            write_sheets([source], tmp_path, per_sheet=20_000)


def test_by_commands(tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tools import prepare_data

    assert prepare_data.main(["pack_sheets", str(source), "--out", str(tmp_path / "sheets"), "--per-sheet", "5"]) == 0
    assert "100 images on 30 sheets" in capsys.readouterr().out
    sheet = tmp_path / "sheets" / "test" / "dog" / "000000.webp"
    later = sheet.rename(tmp_path / "later.webp")
    command = ["unpack_sheets", str(tmp_path / "sheets"), "--out", str(tmp_path / "data")]
    assert prepare_data.main(command) == 3
    said = capsys.readouterr().out
    assert "97 images in class folders" in said
    assert "1 sheets are still to come, the first of them test/dog/000000.webp" in said
    later.rename(sheet)
    assert prepare_data.main(command) == 0
    assert "100 images in class folders" in capsys.readouterr().out
