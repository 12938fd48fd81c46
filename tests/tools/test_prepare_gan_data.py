"""The verbs of tools/prepare_data.py for the image sets of GANs, on made archives of the same layout."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nda_mm.datasets import STL10, CelebA
from nda_mm.datasets.images import stl10
from tools import prepare_data as tool

RNG = np.random.default_rng(0)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (218, 178, 3), dtype=np.uint8)).save(buffer, "jpeg")
    return buffer.getvalue()


def make_celeba(folder: Path, count: int = 4) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for number in range(1, count + 1):
            file.writestr(f"img_align_celeba/{number:06d}.jpg", jpeg())
    listed = folder / "list_eval_partition.txt"
    listed.write_text("".join(f"{number:06d}.jpg {(0, 0, 1, 2)[number - 1]}\n" for number in range(1, count + 1)))
    return archive, listed


def test_celeba_is_unpacked_split_and_decoded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, listed = make_celeba(tmp_path / "source")
    out = tmp_path / "out"
    arguments = ["celeba", str(archive), str(listed), "--out", str(out)]
    assert tool.main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"{archive}: 4 images in {out}/img_align_celeba" in printed
    assert f"{out}, train: 2 images, 178 pixels of each scaled to 64" in printed
    assert f"{out}, test: 1 images" in printed
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.suffix != ".txt"}
    assert tool.main(arguments) == 0  # nothing is unpacked or decoded again
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(CelebA(str(out))) == 2


def test_a_folder_of_celeba_is_linked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, _ = make_celeba(tmp_path / "source")
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path / "source")
    out = tmp_path / "out"
    assert tool.main(["celeba", str(tmp_path / "source"), "--out", str(out)]) == 0
    assert (out / "img_align_celeba").is_symlink()
    assert "the splits of 4 images" in capsys.readouterr().out
    assert tool.main(["celeba", "--out", str(out), "--crop", "108"]) == 0  # looked at again
    assert "108 pixels of each scaled to 64" in capsys.readouterr().out


def test_what_is_damaged_or_missing_of_celeba_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, listed = make_celeba(tmp_path / "source")
    with zipfile.ZipFile(archive) as file:
        start = file.getinfo("img_align_celeba/000002.jpg").header_offset + 200
    content = bytearray(archive.read_bytes())
    content[start] ^= 255
    archive.write_bytes(content)
    out = tmp_path / "out"
    assert tool.main(["celeba", str(archive), str(listed), "--out", str(out)]) == 1
    streams = capsys.readouterr()
    assert "1 x damaged in the archive, left out:\n  img_align_celeba/000002.jpg: BadZipFile: Bad CRC-32" in streams.out
    assert "of 2 images 1 are missing" in streams.err
    assert tool.main(["celeba", str(archive), str(listed), "--out", str(out), "--allow-partial"]) == 0
    archive.write_bytes(content[: len(content) // 2])
    assert tool.main(["celeba", str(archive), "--out", str(out)]) == 1
    assert "img_align_celeba.zip' is cut off" in capsys.readouterr().err
    assert tool.main(["celeba", "--out", str(tmp_path / "nothing")]) == 1
    assert "Get img_align_celeba.zip" in capsys.readouterr().err
    assert tool.main(["celeba", str(tmp_path / "absent.zip"), "--out", str(out)]) == 1
    assert "absent.zip" in capsys.readouterr().err


def make_stl10(path: Path) -> Path:
    members = {
        "train_X.bin": RNG.integers(0, 256, 2 * 27_648, dtype=np.uint8).tobytes(),
        "train_y.bin": bytes([1, 10]),
        "test_X.bin": RNG.integers(0, 256, 27_648, dtype=np.uint8).tobytes(),
        "test_y.bin": bytes([3]),
        "unlabeled_X.bin": RNG.integers(0, 256, 3 * 27_648, dtype=np.uint8).tobytes(),
        "class_names.txt": b"airplane\n",
        "../../train_X.bin.evil": b"x",
    }
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"stl10_binary/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def test_stl10_is_unpacked_and_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_stl10(tmp_path / "stl10_binary.tar.gz"), tmp_path / "data" / "out"
    arguments = ["stl10", str(source), "--out", str(out), "--allow-partial"]
    assert tool.main(arguments) == 0
    printed = capsys.readouterr().out
    for part, count in (("train", 2), ("test", 1), ("unlabeled", 3)):
        assert f"{out}, {part}: {count} images" in printed
    with tarfile.open(source) as archive:
        held = archive.extractfile("stl10_binary/unlabeled_X.bin")
        assert held is not None
        assert (out / "stl10_binary" / "unlabeled_X.bin").read_bytes() == held.read()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        ["stl10_binary.tar.gz", *stl10.FILES]
    )
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.bin")}
    assert tool.main(arguments) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    linked = tmp_path / "linked"
    assert tool.main(["stl10", str(out), "--out", str(linked), "--allow-partial"]) == 0
    assert len(STL10(str(linked), allow_partial=True)) == 3


def test_the_archive_is_not_opened_where_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = make_stl10(tmp_path / "a.tar.gz"), tmp_path / "out"
    tool.main(["stl10", str(source), "--out", str(out), "--allow-partial"])
    sizes = {path.name: path.stat().st_size for path in (out / "stl10_binary").iterdir()}
    monkeypatch.setattr(stl10, "FILES", sizes)
    source.write_bytes(b"no archive any more")
    assert stl10.take_stl10(source, out).endswith("all files are there")


def test_what_is_damaged_or_missing_of_stl10_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = make_stl10(tmp_path / "stl10_binary.tar.gz"), tmp_path / "out"
    content = source.read_bytes()
    source.write_bytes(content[: len(content) // 2])
    assert tool.main(["stl10", str(source), "--out", str(out)]) == 1
    assert "stl10_binary.tar.gz' is cut off" in capsys.readouterr().err
    assert not any(path.name.endswith("_X.bin") and path.stat().st_size % 27_648 for path in out.rglob("*"))
    source.write_bytes(content)  # an interrupted run is completed by the next
    assert tool.main(["stl10", str(source), "--out", str(out)]) == 1
    assert "its part 'train' has 5000 images, but found are 2" in capsys.readouterr().err
    assert tool.main(["stl10", str(source), "--out", str(out), "--allow-partial"]) == 0
    empty = tmp_path / "empty.tar.gz"
    with gzip.open(empty, "wb") as file:
        file.write(bytes(10_240))
    assert tool.main(["stl10", str(empty), "--out", str(out)]) == 1
    assert "holds no undamaged file" in capsys.readouterr().err
    assert tool.main(["stl10", str(tmp_path), "--out", str(out)]) == 1
    assert "holds a train_X.bin" in capsys.readouterr().err
    assert tool.main(["stl10", "--out", str(tmp_path / "nothing")]) == 1
    assert "prepare_data.py stl10 stl10_binary.tar.gz" in capsys.readouterr().err


def test_imagenet_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("n01440764", "n01443537"):
        (tmp_path / "source" / "train" / name).mkdir(parents=True)
        (tmp_path / "source" / "train" / name / f"{name}_1.JPEG").write_bytes(jpeg())
    (tmp_path / "source" / "train" / "n01443537" / "broken.JPEG").write_bytes(b"")
    arguments = ["imagenet", str(tmp_path / "source"), "--out", str(tmp_path / "out")]
    assert tool.main(arguments) == 1
    assert "has 2 class folders, not 1000" in capsys.readouterr().err
    assert tool.main([*arguments, "--allow-partial", "--workers", "2"]) == 0
    printed = capsys.readouterr().out
    assert f"{tmp_path}/out/meta/train.txt: 2 images" in printed
    assert "1 x cannot be read, left out: train/n01443537/broken.JPEG" in printed
