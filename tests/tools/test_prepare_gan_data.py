"""The image sets of GANs in tools/prepare_data.py, on archives of the official layouts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_archives import RNG, make_tar, make_zip, noise

from nda_mm.datasets import CIFAR10, STL10

Prepare = Callable[..., str]


def cifar_members(prefix: str) -> dict[str, bytes]:
    return {f"{prefix}{name}/{i}.png": noise(32, 32, "png") for name in CIFAR10.METAINFO["classes"] for i in (0, 1)}


def test_cifar_is_unpacked_or_linked(tmp_path: Path, prepare: Prepare) -> None:
    out = tmp_path / "out"
    wrapped = make_zip(tmp_path / "train.zip", cifar_members("some/wrapping/cifar10/train/"))
    assert "each class must have 5000 images" in prepare("cifar10", wrapped, "--out", out, status=1)
    assert "train: 20 images of 10 classes" in prepare("cifar10", wrapped, "--out", out, "--allow-partial")
    folders = make_zip(tmp_path / "folders.zip", cifar_members(""))
    assert "test: 20 images" in prepare("cifar10", folders, "--out", out, "--split", "test", "--allow-partial")
    prepare("cifar10", out, "--out", tmp_path / "linked", "--allow-partial")
    assert (tmp_path / "linked").is_symlink()


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path, prepare: Prepare) -> None:
    """CIFAR-100 has a class of trains."""
    members = {f"cifar100/test/{name}/0.png": noise(32, 32, "png") for name in ("train", "apple")}
    prepare("cifar100", make_zip(tmp_path / "a.zip", members), "--out", tmp_path / "out", "--allow-partial", status=1)
    found = sorted(path.relative_to(tmp_path / "out").parent.as_posix() for path in tmp_path.rglob("0.png"))
    assert found == ["test/apple", "test/train"]


def test_celeba_is_unpacked_split_and_decoded(tmp_path: Path, prepare: Prepare) -> None:
    images = {f"img_align_celeba/{number:06d}.jpg": noise(178, 218) for number in range(1, 5)}
    archive, out = make_zip(tmp_path / "img_align_celeba.zip", images), tmp_path / "out"
    listed = tmp_path / "list_eval_partition.txt"
    listed.write_text("".join(f"{number:06d}.jpg {split}\n" for number, split in enumerate("0012", 1)))
    words = ["celeba", archive, listed, "--out", out]
    assert f"{out}, train: 2 images, 178 pixels of each scaled to 64" in prepare(*words)
    said = prepare("celeba", out, "--out", tmp_path / "linked", "--crop", "108")
    assert "108 pixels of each scaled to 64" in said
    assert (tmp_path / "linked" / "img_align_celeba").is_symlink()
    assert list((out / "img_align_celeba" / ".nda_mm_cache").glob("train_crop108*"))
    (out / "img_align_celeba" / "000002.jpg").unlink()
    assert "of 2 images, 1 are missing" in prepare("celeba", "--out", out, status=1)


def test_stl10_is_unpacked_and_read(tmp_path: Path, prepare: Prepare, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 2, "test": 1, "unlabeled": 3}
    members = {f"{part}_X.bin": RNG.bytes(count * 27_648) for part, count in counts.items()}
    members |= {"train_y.bin": bytes([1, 10]), "test_y.bin": bytes([3])}
    for name in ("train_list", "test_list"):
        listed = [[file, hashlib.md5(members[file]).hexdigest()] for file, _ in getattr(STL10.published(), name)]
        monkeypatch.setattr(STL10.published(), name, listed)
    source, out = tmp_path / "stl10_binary.tar.gz", tmp_path / "data" / "out"
    make_tar(source, {f"stl10_binary/{name}": content for name, content in {**members, "notes.txt": b"x"}.items()})
    said = prepare("stl10", source, "--out", out)
    assert all(f"{out}, {part}: {count} images" in said for part, count in counts.items())
    assert {path.name: path.read_bytes() for path in (out / "stl10_binary").iterdir()} == members
    prepare("stl10", out, "--out", tmp_path / "linked")
    assert (tmp_path / "linked" / "stl10_binary").is_symlink()


def test_imagenet_is_listed(tmp_path: Path, prepare: Prepare) -> None:
    train, out = tmp_path / "source" / "train", tmp_path / "out"
    for name in ("n01440764", "n01443537"):
        (train / name).mkdir(parents=True)
        (train / name / f"{name}_1.JPEG").write_bytes(noise())
    (train / "n01443537" / "broken.JPEG").write_bytes(b"")
    words = ["imagenet", train.parent, "--out", out]
    assert "has 2 class folders instead of 1000" in prepare(*words, status=1)
    said = prepare(*words, "--allow-partial", "--workers", "2")
    assert f"{out}/meta/train.txt: 2 images" in said and "train/n01443537/broken.JPEG" in said
