"""The image sets of GANs in tools/prepare_data.py, on archives of the official layouts."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tiny_archives import RNG, make_tar, make_zip, noise, truncate

from nda_mm.datasets import CIFAR10, STL10, CelebA
from tools import prepare_data as tool

Captured = pytest.CaptureFixture[str]


def cifar_members(prefix: str) -> dict[str, bytes]:
    return {f"{prefix}{name}/{i}.png": noise(32, 32, "png") for name in CIFAR10.METAINFO["classes"] for i in (0, 1)}


def test_cifar_is_unpacked_or_linked(tmp_path: Path, capsys: Captured) -> None:
    out = str(tmp_path / "out")
    wrapped = make_zip(tmp_path / "train.zip", cifar_members("some/wrapping/cifar10/train/"))
    assert tool.main(["cifar10", str(wrapped), "--out", out]) == 1
    assert "each class has 5000 images" in capsys.readouterr().err
    assert tool.main(["cifar10", str(wrapped), "--out", out, "--allow-partial"]) == 0
    assert "train: 20 images of 10 classes" in capsys.readouterr().out
    without_split = make_zip(tmp_path / "folders.zip", cifar_members(""))
    assert tool.main(["cifar10", str(without_split), "--out", out, "--split", "test", "--allow-partial"]) == 0
    assert "test: 20 images of 10 classes" in capsys.readouterr().out
    assert tool.main(["cifar10", out, "--out", str(tmp_path / "linked"), "--allow-partial"]) == 0
    assert (tmp_path / "linked").is_symlink()


def test_a_class_may_have_the_name_of_a_split(tmp_path: Path) -> None:
    """CIFAR-100 has a class of trains."""
    members = {f"cifar100/test/{name}/0.png": noise(32, 32, "png") for name in ("train", "apple")}
    source, out = make_zip(tmp_path / "a.zip", members), tmp_path / "out"
    tool.main(["cifar100", str(source), "--out", str(out), "--allow-partial"])
    assert sorted(path.relative_to(out).parent.as_posix() for path in out.rglob("0.png")) == [
        "test/apple",
        "test/train",
    ]


def test_damaged_members_are_named(tmp_path: Path, capsys: Captured) -> None:
    source, out = make_zip(tmp_path / "train.zip", cifar_members("train/")), tmp_path / "out"
    content = bytearray(source.read_bytes())
    content[60] ^= 255
    source.write_bytes(content)
    assert tool.main(["cifar10", str(source), "--out", str(out), "--allow-partial"]) == 0
    assert "train/airplane/0.png: BadZipFile: Bad CRC-32" in capsys.readouterr().out


def test_celeba_is_unpacked_split_and_decoded(tmp_path: Path, capsys: Captured) -> None:
    images = {f"img_align_celeba/{number:06d}.jpg": noise(178, 218) for number in range(1, 5)}
    archive, out = make_zip(tmp_path / "img_align_celeba.zip", images), tmp_path / "out"
    listed = tmp_path / "list_eval_partition.txt"
    listed.write_text("".join(f"{number:06d}.jpg {split}\n" for number, split in enumerate("0012", 1)))
    arguments = ["celeba", str(archive), str(listed), "--out", str(out)]
    assert tool.main(arguments) == 0
    assert f"{out}, train: 2 images, 178 pixels of each scaled to 64" in capsys.readouterr().out
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.suffix != ".txt"}
    assert tool.main(arguments) == 0  # nothing is unpacked or decoded again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(CelebA(str(out))) == 2
    assert tool.main(["celeba", str(out), "--out", str(tmp_path / "linked"), "--crop", "108"]) == 0
    assert (tmp_path / "linked" / "img_align_celeba").is_symlink()
    assert "108 pixels of each scaled to 64" in capsys.readouterr().out
    (out / "img_align_celeba" / "000002.jpg").unlink()
    assert tool.main([*arguments[:1], *arguments[3:]]) == 1
    assert "of 2 images 1 are missing" in capsys.readouterr().err


def test_stl10_is_unpacked_and_read(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train": 2, "test": 1, "unlabeled": 3}
    members = {f"{part}_X.bin": RNG.bytes(count * 27_648) for part, count in counts.items()}
    members |= {"train_y.bin": bytes([1, 10]), "test_y.bin": bytes([3])}
    for name in ("train_list", "test_list"):
        listed = [[file, hashlib.md5(members[file]).hexdigest()] for file, _ in getattr(STL10.published(), name)]
        monkeypatch.setattr(STL10.published(), name, listed)
    source = tmp_path / "stl10_binary.tar.gz"
    make_tar(source, {f"stl10_binary/{name}": content for name, content in {**members, "notes.txt": b"x"}.items()})
    out = tmp_path / "data" / "out"
    whole = truncate(source)
    assert tool.main(["stl10", str(source), "--out", str(out)]) == 1
    assert "stl10_binary.tar.gz' is cut off" in capsys.readouterr().err
    source.write_bytes(whole)  # the interrupted run is completed by the next
    assert tool.main(["stl10", str(source), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert all(f"{out}, {part}: {count} images" in printed for part, count in counts.items())
    assert {path.name: path.read_bytes() for path in (out / "stl10_binary").iterdir()} == members
    assert tool.main(["stl10", str(out), "--out", str(tmp_path / "linked")]) == 0
    assert (tmp_path / "linked" / "stl10_binary").is_symlink()


def test_imagenet_is_listed(tmp_path: Path, capsys: Captured) -> None:
    for name in ("n01440764", "n01443537"):
        (tmp_path / "source" / "train" / name).mkdir(parents=True)
        (tmp_path / "source" / "train" / name / f"{name}_1.JPEG").write_bytes(noise())
    (tmp_path / "source" / "train" / "n01443537" / "broken.JPEG").write_bytes(b"")
    arguments = ["imagenet", str(tmp_path / "source"), "--out", str(tmp_path / "out")]
    assert tool.main(arguments) == 1
    assert "has 2 class folders, not 1000" in capsys.readouterr().err
    assert tool.main([*arguments, "--allow-partial", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path}/out/meta/train.txt: 2 images" in printed
    assert "train/n01443537/broken.JPEG" in printed
