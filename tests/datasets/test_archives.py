"""Archives cut off, damaged, unpacked twice, and with names and links that lead out of the folder."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import tiny_archives

from nda_mm.datasets import archives
from nda_mm.datasets.archives import unpack

DRAW = np.random.default_rng(0)
MEMBERS = {f"set/{split}/{number}.bin": DRAW.bytes(700 + number) for split in ("a", "b") for number in range(4)}
OTHERS = {
    "set/readme.txt": b"text",
    "../../a/evil.bin": b"x",
    "/a/evil.bin": b"y",
    "set/../evil.bin": b"z",
    "..\\..\\a\\evil.bin": b"x",
}
LINKS = {"set/a/link.bin": "/etc/passwd", "set/b": "/tmp", "set/c/link.bin": "../../../evil.bin"}


def place(parts: tuple[str, ...]) -> PurePosixPath | None:
    return PurePosixPath(*parts[1:]) if parts[-1].endswith(".bin") and len(parts) == 3 else None


def make_tar(path: Path) -> Path:
    return tiny_archives.make_tar(path, MEMBERS | OTHERS, links=LINKS)


def make_zip(path: Path) -> Path:
    tiny_archives.make_zip(path, MEMBERS | OTHERS)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("set/b")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/tmp")
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {"zip": make_zip, "tar.gz": make_tar}
EACH = pytest.mark.parametrize("kind", MAKERS)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {name.removeprefix("set/"): value for name, value in MEMBERS.items()}


@EACH
def test_what_is_wanted_is_put_in_place_and_nothing_else(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path / f"source.{kind}")
    for _ in range(2):  # the second time, over what is there
        assert unpack(source, tmp_path / "deep" / "out", place) == 8
        assert content(tmp_path / "deep" / "out") == WHOLE
        assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", source.name]


@EACH
def test_cut_off_anywhere_nothing_is_in_place(kind: str, tmp_path: Path) -> None:
    source, out = MAKERS[kind](tmp_path / f"source.{kind}"), tmp_path / "out"
    whole = source.read_bytes()
    for share in (0.02, 0.3, 0.7, 1):
        source.write_bytes(whole[: int((len(whole) - 1) * share)])
        with pytest.raises(ValueError, match=r"(?s)source.*[Dd]ownload"):
            unpack(source, out, place)
        assert list(tmp_path.iterdir()) == [source]
    source.write_bytes(whole)
    assert unpack(source, out, place) == 8


@EACH
def test_damage_anywhere_ends_in_the_whole_or_nothing(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path / f"source.{kind}")
    whole, draw = source.read_bytes(), np.random.default_rng(1)
    refused = 0
    for number in range(40):
        damaged = bytearray(whole)
        damaged[draw.integers(len(whole))] ^= 1 << draw.integers(8)
        source.write_bytes(damaged)
        out = tmp_path / str(number)
        try:
            unpack(source, out, place)
            assert content(out).items() <= WHOLE.items()  # a name that nobody wants, say
        except ValueError:
            refused += 1
            assert not out.exists()
    assert refused > 20
    assert not list(tmp_path.glob(".*"))


def test_a_stop_while_moving_leaves_whole_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = make_tar(tmp_path / "source.tar"), tmp_path / "out"
    replace, renamed = archives.os.replace, []

    def stop_at_the_second(old: Path, new: Path) -> None:
        renamed.append(new)
        if len(renamed) == 2:
            raise KeyboardInterrupt
        replace(old, new)

    monkeypatch.setattr(archives.os, "replace", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        unpack(source, out, place)
    monkeypatch.undo()
    assert content(out) == {name: value for name, value in WHOLE.items() if name.startswith("a/")}
    unpack(source, out, place)
    assert content(out) == WHOLE


def test_what_cannot_be_unpacked_is_named(tmp_path: Path) -> None:
    source = make_tar(tmp_path / "source.tar")
    with pytest.raises(ValueError, match="source"):
        unpack(source, tmp_path / "out", lambda parts: None)
    (tmp_path / "text.zip").write_text("no archive at all")
    with pytest.raises(ValueError, match=r"text\.zip"):
        unpack(tmp_path / "text.zip", tmp_path / "out", place)
    with pytest.raises(FileNotFoundError, match=r"absent\.zip"):
        unpack(tmp_path / "absent.zip", tmp_path / "out", place)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="is a link"):
        unpack(source, tmp_path / "link", place)
    assert list((tmp_path / "elsewhere").iterdir()) == []
