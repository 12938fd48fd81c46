"""Pairs in files: what is usable, what is reported, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from tiny_images import save_noise

pytest.importorskip("mmagic")

from nda_mm.datasets.images.paired_images import PairedImages


@pytest.fixture(autouse=True)
def scope():
    DefaultScope.get_instance("test_paired_images", scope_name="mmagic")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, count in (("train", 5), ("val", 3)):
        for number in range(count):
            save_noise(tmp_path / split / f"{number}.png", 4, 12)
    return tmp_path


def test_all_pairs_in_order_through_the_hosts_loader(folder: Path) -> None:
    load = [dict(type="LoadPairedImageFromFile", key="pair", domain_a="A", domain_b="B")]
    pairs = PairedImages(str(folder), pipeline=load)
    assert [Path(pairs.get_data_info(i)["pair_path"]).name for i in range(len(pairs))] == [f"{i}.png" for i in range(5)]
    whole = np.asarray(Image.open(folder / "train" / "3.png"))[..., ::-1]
    item = pairs[3]
    assert np.array_equal(item["img_A"], whole[:, :6]) and np.array_equal(item["img_B"], whole[:, 6:])
    assert len(PairedImages(str(folder), pipeline=[], test_mode=True, test_dir="val")) == 3


def test_bad_files_are_named_and_left_out(folder: Path) -> None:
    good = (folder / "train" / "0.png").read_bytes()
    (folder / "train" / "cut.png").write_bytes(good[: len(good) // 2])
    save_noise(folder / "train" / "odd.png", 4, 7)
    os.mkfifo(folder / "train" / "fifo.png")  # which nobody waits for
    with pytest.raises(ValueError, match=r"(?s)max_bad.*cut\.png.*fifo\.png.*odd\.png"):
        PairedImages(str(folder), pipeline=[])
    assert len(PairedImages(str(folder), pipeline=[], max_bad=0.5)) == 5


def test_an_empty_folder_is_refused(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="test"):
        PairedImages(str(folder), pipeline=[], test_mode=True)
