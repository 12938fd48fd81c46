"""Pairs in files: what is usable, what is reported, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

pytest.importorskip("mmagic")

from nda_mm.datasets.images.paired_images import PairedImages


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_paired_images", scope_name="mmagic")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 3)):
        (tmp_path / split).mkdir()
        for number in range(count):
            pixels = draw.integers(0, 256, (4, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / split / f"{number}.png")
    return tmp_path


def test_all_pairs_in_order_through_the_hosts_loader(folder: Path) -> None:
    load = [dict(type="LoadPairedImageFromFile", key="pair", domain_a="A", domain_b="B")]
    pairs = PairedImages(str(folder), pipeline=load)
    assert [Path(pairs.get_data_info(i)["pair_path"]).name for i in range(len(pairs))] == [f"{i}.png" for i in range(5)]
    whole = np.asarray(Image.open(folder / "train" / "3.png"))[..., ::-1]
    item = pairs[3]
    assert np.array_equal(item["img_A"], whole[:, :6]) and np.array_equal(item["img_B"], whole[:, 6:])
    assert len(PairedImages(str(folder), pipeline=[], test_mode=True, test_dir="val")) == 3


def test_bad_files_are_told_once_and_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (folder / "train" / "0.png").read_bytes()
    (folder / "train" / "cut.png").write_bytes(good[: len(good) // 2])
    (folder / "train" / "empty.jpg").write_bytes(b"")
    Image.fromarray(np.zeros((4, 7, 3), dtype=np.uint8)).save(folder / "train" / "odd.png")
    with pytest.raises(
        ValueError, match=r"(?s)3 of 8 pairs in .*max_bad=0\.01 allows:.*cut.*empty.*odd\.png: 7 pixels"
    ):
        PairedImages(str(folder), pipeline=[])
    told: list[str] = []
    monkeypatch.setattr("nda_mm.datasets.images.paired_images.print_log", lambda message, **_: told.append(message))
    assert len(PairedImages(str(folder), pipeline=[], max_bad=0.5)) == 5
    (said,) = told
    assert said.count("3 of 8 pairs") == 1 and "cannot be used and are left out" in said
    assert [said.count(f"\n  {name}: ") for name in ("cut.png", "empty.jpg", "odd.png")] == [1, 1, 1]


def test_a_folder_of_nothing_usable(folder: Path) -> None:
    for path in (folder / "val").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"3 of 3 pairs"):
        PairedImages(str(folder), pipeline=[], test_mode=True, test_dir="val", max_bad=1.0)


def test_refusals(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"test' does not exist. Put the pairs there.*pix2pix_digits needs no"):
        PairedImages(str(folder), pipeline=[], test_mode=True)
    (folder / "test").mkdir()
    (folder / "test" / "notes.txt").write_text("none")
    with pytest.raises(FileNotFoundError, match=r"test' holds no images"):
        PairedImages(str(folder), pipeline=[], test_mode=True)
    with pytest.raises(ValueError, match=r"max_bad must lie in \[0, 1\], but is 2"):
        PairedImages(str(folder), pipeline=[], max_bad=2)
