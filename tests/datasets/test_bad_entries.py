"""Entries of a folder that are no readable files are bad files for every reader: left out, named, not waited for."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_detection as tiny
from PIL import Image

from nda_mm.datasets import (
    CIFAR10,
    CIFAR10C,
    CIFAR100,
    DTD,
    STL10,
    SVHN,
    CelebA,
    DatasetNotReadableError,
    ImageFolder,
    Places365,
    TinyImageNet,
    VOCImages,
)
from nda_mm.datasets.decoding import image_files
from nda_mm.datasets.images.imagenet import prepare_imagenet
from nda_mm.datasets.images.pairs import build_cityscapes_pairs, pair_faults
from nda_mm.registry import DATASETS

RNG = np.random.default_rng(0)


def save(path: Path, width: int = 32, height: int = 32) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's address has little room
    try:
        with socket.socket(socket.AF_UNIX) as end:
            end.bind(path.name)
    finally:
        os.chdir(here)


ENTRIES: dict[str, Callable[[Path], Any]] = {
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link in a circle": lambda path: path.symlink_to(path.name),
    "FIFO": make_fifo,
    "socket": make_socket,
    "folder": lambda path: path.mkdir(),
    "not UTF-8": lambda path: path.touch() if path.suffix == ".xml" else save(path),
}


@pytest.fixture(params=ENTRIES)
def spoil(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """Puts a bad entry beside (or instead of) a file; gives its name as messages must have it."""

    def make(path: Path) -> str:
        if path.is_file():
            path.unlink()
        if request.param == "not UTF-8":
            path = path.with_name(os.fsdecode(b"caf\xe9_" + os.fsencode(path.name)))
        try:
            ENTRIES[request.param](path)
        except OSError as error:
            pytest.skip(f"this file system has no such entry: {error}")
        return path.name.replace("\udce9", "\\udce9")

    return make


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the readers of folders log; each message can be printed."""
    messages: list[str] = []

    def listen(message: str, *_: Any, **__: Any) -> None:
        message.encode()
        messages.append(message)

    monkeypatch.setattr("nda_mm.datasets.images.image_folder.print_log", listen)
    return messages


@pytest.mark.parametrize("classes", [("",), ("a", "b")])
def test_an_image_folder_leaves_it_out(
    tmp_path: Path, spoil: Callable[[Path], str], said: list[str], classes: tuple[str, ...]
) -> None:
    for name in classes:
        for number in range(10):
            save(tmp_path / name / f"{number}.png")
    bad = spoil(tmp_path / classes[0] / "x.png")
    for _ in range(2):  # decoded, then from the cache
        data = ImageFolder(str(tmp_path))
        assert len(data) == 10 * len(classes)
        assert isinstance(data.images, np.memmap)
    assert [f"1 of {len(data) + 1} image files" in message and bad in message for message in said] == [True, True]


def test_links_to_folders_in_a_circle_add_nothing(tmp_path: Path) -> None:
    save(tmp_path / "a" / "0.png")
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "round").symlink_to("round")
    assert ImageFolder(str(tmp_path)).images.shape[0] == 1
    assert image_files(tmp_path) == [tmp_path / "a" / "0.png"]


def test_beside_class_folders_it_is_an_image_without_a_class(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    save(tmp_path / "a" / "0.png")
    spoil(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"1 images beside them.*with_labels=False"):
        ImageFolder(str(tmp_path))


def test_known_folders_and_lists_name_it(tmp_path: Path, spoil: Callable[[Path], str], said: list[str]) -> None:
    save(tmp_path / "images" / "banded" / "0.jpg")
    bad = spoil(tmp_path / "images" / "banded" / "x.jpg")
    assert len(DTD(str(tmp_path))) == 1
    assert bad in said[0]


def test_cifar_from_class_folders_refuses_it(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    for name in CIFAR10.METAINFO["classes"]:
        save(tmp_path / "train" / name / "0.png")
    bad = spoil(tmp_path / "train" / "cat" / "x.png")
    with pytest.raises(DatasetNotReadableError) as error:
        CIFAR10(str(tmp_path), allow_partial=True)
    assert f"1 of 11 images in '{tmp_path}/train' cannot be read: train/cat/{bad}" in str(error.value)


def test_celeba_counts_it(tmp_path: Path, spoil: Callable[[Path], str], said: list[str]) -> None:
    for number in range(1, 13):
        save(tmp_path / "img_align_celeba" / f"{number:06d}.jpg", 178, 218)
    (tmp_path / "list_eval_partition.txt").write_text("".join(f"{number:06d}.jpg 0\n" for number in range(1, 13)))
    bad = spoil(tmp_path / "img_align_celeba" / "000003.jpg")
    assert len(CelebA(str(tmp_path), allow_partial=True)) == 11
    assert bad.startswith("caf") or bad in said[0]  # a name that the list does not have is no image of CelebA


def test_pairs_and_lists_of_imagenet_name_it(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    save(tmp_path / "train" / "n01" / "0.JPEG")
    bad = spoil(tmp_path / "train" / "n01" / "x.JPEG")
    assert [bool(fault) for fault in pair_faults(image_files(tmp_path / "train"))] == [
        not path.is_file() or not path.name.isascii() for path in image_files(tmp_path / "train")
    ]
    for _ in range(2):  # looked at, then recalled
        report = prepare_imagenet(tmp_path, tmp_path, allow_partial=True)
        assert [name for name, _ in report.bad] == [f"train/n01/{bad}"]
        assert (tmp_path / "meta" / "train.txt").read_text() == "n01/0.JPEG 0\n"
        "\n".join(report.lines()).encode()


def test_cityscapes_makes_no_pair_of_it(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    for number in range(2):
        save(tmp_path / "leftImg8bit" / "train" / "aachen" / f"{number}_leftImg8bit.png")
        save(tmp_path / "gtFine" / "train" / "aachen" / f"{number}_gtFine_color.png")
    spoil(tmp_path / "leftImg8bit" / "train" / "aachen" / "1_leftImg8bit.png")
    built = build_cityscapes_pairs([tmp_path], tmp_path / "out")
    assert built.counts == {"train": 1}
    assert "train/1" in [name for name, _ in built.bad]
    str(built.bad).encode()


def test_detection_sets_report_it(tmp_path: Path, spoil: Callable[[Path], str]) -> None:
    pytest.importorskip("mmdet")
    for name in ("0", "1"):
        tiny.write_voc(tmp_path, name, [("cat", tiny.GOOD)])
    listed = tiny.list_images(tmp_path, ["0", "1"])

    def read(kind: str, **settings: Any) -> Any:
        classes = dict(classes=("cat", "dog"))
        config = dict(type=f"nda_mm.{kind}", data_root=str(tmp_path), metainfo=classes, bad_files="skip", **settings)
        return DATASETS.build(config)

    spoil(tmp_path / "JPEGImages" / "1.jpg")
    voc = dict(ann_file=listed, data_prefix=dict(sub_data_root=""))
    data = read("CheckedVOCDataset", **voc)
    assert [data.get_data_info(index)["img_id"] for index in range(len(data))] == ["0"]
    assert sum(map(len, data.report.found.values())) == 1
    with pytest.raises(ValueError, match=r"train\.txt"):
        VOCImages(str(tmp_path), size=(8, 8))
    spoil(tmp_path / "Annotations" / "0.xml")
    with pytest.raises(ValueError, match="no image can be used"):
        read("CheckedVOCDataset", **voc)

    content = tiny.coco_content()
    tiny.write_coco(tmp_path, content)
    bad = spoil(tmp_path / "1.png")
    content["images"][1]["file_name"] = bad.replace("\\udce9", "\udce9")
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    data = read("CheckedCocoDataset", ann_file="boxes.json", data_prefix=dict(img=""))
    assert len(data) == 1
    "\n".join(data.report.lines()).encode()


READERS: dict[str, Callable[[Any], Any]] = {
    **{kind.__name__: kind for kind in (CIFAR10, CIFAR100, CIFAR10C, CelebA, DTD, Places365, STL10, SVHN)},
    "TinyImageNet": TinyImageNet,
    "ImageFolder": ImageFolder,
    "VOCImages": lambda root: VOCImages(root, size=(8, 8)),
    **{
        name: lambda root, name=name, settings=settings: DATASETS.build(
            dict(type=f"nda_mm.{name}", data_root=root, **settings)
        )
        for name, settings in {
            "PairedImages": dict(pipeline=[]),
            "DigitsScenes": {},
            "CheckedCocoDataset": dict(ann_file="a.json"),
            "CheckedVOCDataset": dict(ann_file="a.txt"),
        }.items()
    },
}


HOSTS = {
    "PairedImages": "mmagic",
    **dict.fromkeys(("DigitsScenes", "CheckedCocoDataset", "CheckedVOCDataset"), "mmdet"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("root", ["", " "])
def test_an_empty_data_root_is_not_the_current_folder(
    name: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in HOSTS:
        pytest.importorskip(HOSTS[name])
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "0.png")
    with pytest.raises(ValueError, match="data_root"):
        READERS[name](root)
    assert [path.name for path in tmp_path.iterdir()] == ["0.png"]
