"""Archives that mean harm: whatever the verb, nothing is written but regular files below --out."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tools import prepare_data as tool

#: A member that each verb takes, and the most bytes that it may have.
WANTED = {
    "cifar10": "set/train/cat/1.png",
    "cifar100": "set/test/train/1.png",
    "celeba": "img_align_celeba/000001.jpg",
    "stl10": "stl10_binary/train_X.bin",
    "tiny_imagenet": "set/val/images/val_1.JPEG",
    "places365": "val_256/1.jpg",
    "dtd": "dtd/images/banded/1.jpg",
    "cifar10_c": "CIFAR-10-C/fog.npy",
    "facades": "facades/train/1.jpg",
    "cityscapes": "cityscapes/train/1.jpg",
    "bccd": "BCCD/JPEGImages/1.jpg",
}
EACH = pytest.mark.parametrize("verb", WANTED)


def hostile_names(name: str, away: Path) -> list[str]:
    """Names that lead out of the folder, around the wanted one."""
    first, _, rest = name.partition("/")
    return [
        *(f"{'../' * depth}{name}" for depth in (1, 2, 5)),
        f"/{name}",
        f"{away}/{name}",
        f"{first}/../../../{rest}",
        f"{first}/../{name}",
        f"..\\..\\{name}".replace("/", "\\"),
        f"{name}/../../../../../evil",
        f"./././{name}",
    ]


def make_zip(path: Path, name: str, away: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, member in enumerate(hostile_names(name, away)):
            archive.writestr(member, b"%d" % number)
        link = zipfile.ZipInfo(name.rpartition("/")[0])
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, str(away))
        archive.writestr(name, b"wanted")
    return path


def make_tar(path: Path, name: str, away: Path) -> Path:
    folder = name.rpartition("/")[0]
    with tarfile.open(path, "w") as archive:

        def add(member: str, kind: bytes = tarfile.REGTYPE, target: str = "", content: bytes = b"") -> None:
            info = tarfile.TarInfo(member)
            info.type, info.linkname, info.size = kind, target, len(content)
            archive.addfile(info, io.BytesIO(content))

        add(folder, tarfile.SYMTYPE, str(away))  # what comes next would go through it
        add(name, content=b"wanted")
        for number, member in enumerate(hostile_names(name, away)):
            add(member, content=b"%d" % number)
        for number, target in enumerate((str(away / "victim"), "../../../victim", "/etc/passwd")):
            ending = name.rpartition(".")[2]
            add(f"{folder}/00000{number}.{ending}", tarfile.SYMTYPE, target)
            add(f"{folder}/00001{number}.{ending}", tarfile.LNKTYPE, target)
        for number, kind in enumerate((tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE)):
            add(f"{folder}/00002{number}.{ending}", kind)
        add(name, content=b"wanted")
    return path


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Each entry's type and content, by its path; links are not followed."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for path in (Path(parent, name) for name in (*folders, *names)):
            kind = stat.S_IFMT(path.lstat().st_mode)
            found[str(path.relative_to(folder))] = (kind, path.read_bytes() if stat.S_ISREG(kind) else b"")
    return found


@EACH
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_nothing_leaves_the_folder(verb: str, make: object, tmp_path: Path) -> None:
    away, out = tmp_path / "away", tmp_path / "a" / "b" / "c" / "out"
    away.mkdir()
    (away / "victim").write_text("mine")
    source = make(tmp_path / "source", WANTED[verb], away)  # type: ignore[operator]
    before = everything(tmp_path)
    tool.main([verb, str(source), "--out", str(out), *([] if verb == "bccd" else ["--allow-partial"])])
    after = everything(tmp_path)
    written = {name: entry for name, entry in after.items() if name not in before}
    assert {name: after.get(name) for name in before} == before
    assert all(name == "a" or name.startswith("a/b") for name in written)
    assert {entry[0] for entry in written.values()} == {stat.S_IFDIR, stat.S_IFREG}
    inside = [name for name, entry in written.items() if entry[0] == stat.S_IFREG and "nda_mm_cache" not in name]
    assert inside and all(name.startswith("a/b/c/out/") for name in inside)
    assert any(written[name][1] == b"wanted" for name in inside)
    assert not any(Path(name).name in ("evil", "victim") for name in inside)


@EACH
def test_a_member_that_the_set_cannot_have_is_refused_unread(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    info = tarfile.TarInfo(WANTED[verb])
    info.size = 4_000_000_000
    source.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
    assert tool.main([verb, str(source), "--out", str(out)]) == 1
    error = capsys.readouterr().err
    assert f"'{source}'" in error and "4000000000 bytes" in error
    assert not out.exists()
