"""The verbs of tools/prepare_data.py for image translation, on made archives of the official layouts."""

from __future__ import annotations

import dataclasses
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_archives import RNG, make_tar, noise

from nda_mm.preparation import commands

Prepare = Callable[..., str]
COUNTS = {"facades": {"train": 3, "val": 1, "test": 2}, "cityscapes": {"train": 3, "val": 2}}


@pytest.fixture(autouse=True)
def tiny_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The published numbers of pairs, made small."""
    for name, counts in COUNTS.items():
        monkeypatch.setitem(commands.PAIR_SETS, name, dataclasses.replace(commands.PAIR_SETS[name], counts=counts))


def make_pairs(path: Path, name: str, **changed: bytes) -> Path:
    """As the authors of Pix2Pix publish them: NAME/SPLIT/NUMBER.jpg, 512x256 pixels; here smaller."""
    places = [f"{split}_{number + 1}" for split, count in COUNTS[name].items() for number in range(count)]
    images = {place: noise(64, 32) for place in places} | changed
    return make_tar(path, {f"{name}/{place.replace('_', '/')}.jpg": content for place, content in images.items()})


@pytest.mark.parametrize("name", COUNTS)
def test_pairs_are_unpacked_and_counted(name: str, tmp_path: Path, prepare: Prepare) -> None:
    source, out = make_pairs(tmp_path / "pairs.tar.gz", name), tmp_path / "data" / name
    printed = prepare(name, source, "--out", out)
    assert f"{source}: {sum(COUNTS[name].values())} files in {out}" in printed
    for split, count in COUNTS[name].items():
        assert f"{out / split}: {count} pairs\n" in printed
    (recipe, *others) = commands.PAIR_SETS[name].recipes
    assert f"next: python tools/train.py {recipe} --cfg-options train_dataloader.dataset.data_root=" in printed
    assert all(f"  or: python tools/train.py {other}" in printed for other in others)
    prepare(name, "--out", out)
    prepare(name, out / "train", "--out", tmp_path / "linked")
    assert (tmp_path / "linked").resolve() == out


def test_every_bad_pair_is_named_once(tmp_path: Path, prepare: Prepare) -> None:
    whole = noise(64, 32)
    bad = dict(train_2=whole[:200], train_3=b"", test_1=noise(63, 32), test_9=noise(32, 32), val_1=b"no image")
    source, out = make_pairs(tmp_path / "facades.tar.gz", "facades", **bad), tmp_path / "out"
    printed = prepare("facades", source, "--out", out, status=1)
    for name in ("2.jpg: OSError", "3.jpg: UnidentifiedImageError", "9.jpg: 32x32 pixels"):
        assert printed.count(f"\n  {name}") == 1
    assert "usable pairs: 1 of 3 in train, 0 of 1 in val, 1 of 2 in test" in printed
    prepare("facades", source, "--out", out, "--allow-partial")


COLORS = np.array([[128, 64, 128], [70, 70, 70], [220, 20, 60], [0, 0, 0]], dtype=np.uint8)


def make_cityscapes(folder: Path) -> tuple[Path, Path]:
    """leftImg8bit and gtFine in two zips, of 2048x1024 pixels; here smaller."""
    zips = folder / "leftImg8bit_trainvaltest.zip", folder / "gtFine_trainvaltest.zip"
    with zipfile.ZipFile(zips[0], "w") as photos, zipfile.ZipFile(zips[1], "w") as labels:
        for split, count in {**COUNTS["cityscapes"], "test": 1}.items():
            for number in range(count):
                stem = f"{split}/aachen/aachen_{number:06d}_000019"
                photos.writestr(f"leftImg8bit/{stem}_leftImg8bit.png", noise(512, 256, "png"))
                painted = Image.fromarray(COLORS[RNG.integers(0, 4, (64, 128))].repeat(4, 0).repeat(4, 1))
                buffer = io.BytesIO()
                painted.convert("RGBA").save(buffer, "png")
                labels.writestr(f"gtFine/{stem}_gtFine_color.png", buffer.getvalue())
                labels.writestr(f"gtFine/{stem}_gtFine_labelIds.png", b"not read")
    return zips


def test_pairs_of_cityscapes_are_made(tmp_path: Path, prepare: Prepare) -> None:
    photos, labels = make_cityscapes(tmp_path)
    out = tmp_path / "out"
    assert "there are no labels" in prepare("cityscapes", photos, "--out", out, status=1)
    assert not out.exists()
    printed = prepare("cityscapes", photos, labels, "--out", out, "--jobs", "2")
    assert f"{out}: pairs of {{'train': 3, 'val': 2}}\n" in printed and f"{out / 'val'}: 2 pairs" in printed
    assert sorted(path.name for path in out.iterdir()) == ["train", "val"]
    pair = np.asarray(Image.open(out / "train" / "aachen_000001_000019.png"))
    stem = "train/aachen/aachen_000001_000019"
    with zipfile.ZipFile(photos) as one, zipfile.ZipFile(labels) as other:
        photo = Image.open(io.BytesIO(one.read(f"leftImg8bit/{stem}_leftImg8bit.png")))
        painted = np.asarray(Image.open(io.BytesIO(other.read(f"gtFine/{stem}_gtFine_color.png"))))[..., :3]
    assert np.array_equal(pair[:, :256], np.asarray(photo.resize((256, 256), Image.Resampling.BICUBIC)))
    # Twice as wide as high: of two equal neighbors one is left, and every color is one of Cityscapes'.
    assert np.array_equal(pair[:, 256:], painted[:, ::2])
    for archive in (photos, labels):
        shutil.unpack_archive(archive, tmp_path / "unpacked")
    prepare("cityscapes", tmp_path / "unpacked", "--out", tmp_path / "again")
    assert len(list((tmp_path / "again").rglob("*.png"))) == 5


def test_bad_images_of_cityscapes_are_named_and_the_rest_made(tmp_path: Path, prepare: Prepare) -> None:
    photos, labels = make_cityscapes(tmp_path)
    content = bytearray(photos.read_bytes())
    with zipfile.ZipFile(photos) as archive:
        start = archive.getinfo("leftImg8bit/train/aachen/aachen_000001_000019_leftImg8bit.png").header_offset
    content[start + 500] ^= 255
    photos.write_bytes(content)
    with zipfile.ZipFile(photos, "a") as archive:
        archive.writestr("leftImg8bit/val/aachen/aachen_000009_000019_leftImg8bit.png", noise(8, 8, "png"))
    printed = prepare("cityscapes", photos, labels, "--out", tmp_path / "out", status=1)
    assert "\n  val/aachen_000009_000019: it has no labels" in printed
    assert "\n  train/aachen_000001_000019: the photo cannot be read (BadZipFile: Bad CRC-32" in printed
    assert "usable pairs: 2 of 3 in train" in printed
