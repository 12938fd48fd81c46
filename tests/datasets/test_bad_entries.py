"""Entries of a folder that are no readable files are left out and named by every reader, and never waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_images import save_noise

from nda_mm.datasets import ImageFolder
from nda_mm.datasets.decoding import image_files
from nda_mm.registry import DATASETS

ENTRIES: dict[str, Callable[[Path], Any]] = {
    "x.png": lambda path: path.symlink_to("nowhere"),
    "round.png": lambda path: path.symlink_to(path.name),
    "fifo.png": os.mkfifo,
    "folder.png": Path.mkdir,
    os.fsdecode(b"caf\xe9.png"): save_noise,
}


def test_an_image_folder_leaves_them_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr("nda_mm.datasets.report.print_log", lambda text, **_: messages.append(text))
    for number in range(10):
        save_noise(tmp_path / "a" / f"{number}.png")
    for name, make in ENTRIES.items():
        make(tmp_path / "a" / name)
    for _ in range(2):  # decoded, then from the cache
        assert len(ImageFolder(str(tmp_path), max_bad=0.5)) == 10
    for message in messages:
        message.encode()  # it can be printed
        for name in ENTRIES:
            assert name.replace("\udce9", "\\udce9") in message
    assert len(messages) == 2


def test_links_to_folders_in_a_circle_add_nothing(tmp_path: Path) -> None:
    save_noise(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to("round")
    assert image_files(tmp_path) == [tmp_path / "a" / "0.png"]


def test_an_empty_data_root_is_not_the_current_folder() -> None:
    pytest.importorskip("mmagic")
    pytest.importorskip("mmdet")
    for config in (
        *(dict(type=name) for name in ("CIFAR10", "CIFAR10C", "CelebA", "SVHN", "ImageFolder", "DigitsScenes")),
        dict(type="VOCImages", size=(8, 8)),
        dict(type="PairedImages", pipeline=[]),
        dict(type="CheckedCocoDataset", ann_file="a.json"),
    ):
        with pytest.raises(ValueError, match="data_root"):
            DATASETS.build({**config, "data_root": " "})
