"""Archives cut off anywhere, damaged, unpacked twice, and with names and links that lead out of the folder."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
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
    "set/../../evil.bin": b"z",
    "..\\..\\a\\evil.bin": b"x",
}
LINKS = {"set/a/link.bin": "/etc/passwd", "set/b": "/tmp", "set/c/link.bin": "../../../evil.bin"}


def place(parts: tuple[str, ...]) -> PurePosixPath | None:
    return PurePosixPath(*parts[1:]) if parts[-1].endswith(".bin") and len(parts) == 3 else None


def make_tar(path: Path, mode: str = "w") -> Path:
    return tiny_archives.make_tar(path, MEMBERS | OTHERS, mode, LINKS)


def make_zip(path: Path) -> Path:
    tiny_archives.make_zip(path, MEMBERS | OTHERS)
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("set/b")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/tmp")
    return path


MAKERS: dict[str, Callable[[Path], Path]] = {
    "zip": make_zip,
    "tar": make_tar,
    "tar.gz": lambda path: make_tar(path, "w:gz"),
}
EACH = pytest.mark.parametrize("kind", MAKERS)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


WHOLE = {name.removeprefix("set/"): value for name, value in MEMBERS.items()}


@EACH
def test_what_is_wanted_is_put_in_place_and_nothing_else(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path / f"source.{kind}")
    found = unpack(source, tmp_path / "deep" / "out", place)
    assert (found.count, found.damaged) == (8, [])
    assert content(tmp_path / "deep" / "out") == WHOLE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", source.name]
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "deep").rglob("*.bin")}
    unpack(source, tmp_path / "deep" / "out", place)
    assert {path: path.stat().st_mtime_ns for path in before} == before  # a second call writes nothing


@EACH
def test_cut_off_anywhere_nothing_is_in_place_and_the_whole_archive_goes_on(kind: str, tmp_path: Path) -> None:
    source, out = MAKERS[kind](tmp_path / f"source.{kind}"), tmp_path / "out"
    whole = source.read_bytes()
    # A tar file ends with blocks of zeros, of which two are its mark and the rest is padding.
    end = len(whole.rstrip(b"\0")) if kind == "tar" else len(whole) - 1
    for size in sorted({int(end * share) for share in np.linspace(0.02, 1, 6)}):
        source.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="source"):
            unpack(source, out, place)
        assert not out.exists()
    source.write_bytes(whole)
    unpack(source, out, place)
    assert content(out) == WHOLE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", source.name]


def test_a_tar_file_that_ends_between_two_members_is_cut_off(tmp_path: Path) -> None:
    """Which tarfile takes for its end."""
    source, out = make_tar(tmp_path / "source.tar"), tmp_path / "out"
    with tarfile.open(source) as archive:
        start = archive.getmember("set/b/1.bin").offset
    source.write_bytes(source.read_bytes()[:start])
    with pytest.raises(ValueError, match="cut off"):
        unpack(source, out, place)
    assert not out.exists()


def test_every_damaged_member_of_a_zip_file_is_named_and_the_rest_unpacked(tmp_path: Path) -> None:
    source = make_zip(tmp_path / "source.zip")
    damaged = bytearray(source.read_bytes())
    with zipfile.ZipFile(source) as archive:
        for name in ("set/a/1.bin", "set/b/3.bin"):
            damaged[archive.getinfo(name).header_offset + 200] ^= 255
    source.write_bytes(damaged)
    found = unpack(source, tmp_path / "out", place)
    assert found.count == 6
    assert [name for name, _ in found.damaged] == ["set/a/1.bin", "set/b/3.bin"]
    assert content(tmp_path / "out") == {k: v for k, v in WHOLE.items() if k not in ("a/1.bin", "b/3.bin")}
    make_zip(source)
    unpack(source, tmp_path / "out", place)
    assert content(tmp_path / "out") == WHOLE


def test_a_stop_while_moving_leaves_whole_folders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = make_tar(tmp_path / "source.tar"), tmp_path / "out"
    replace, renamed = archives.os.replace, []

    def stop_at_the_second(old: Path, new: Path) -> None:
        if Path(new).parent == out:
            renamed.append(Path(new).name)
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
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="is a link"):
        unpack(source, tmp_path / "link", place)
    assert list((tmp_path / "elsewhere").iterdir()) == []


@EACH
def test_damage_anywhere_ends_in_whole_files_or_a_value_error(kind: str, tmp_path: Path) -> None:
    source = MAKERS[kind](tmp_path / f"source.{kind}")
    whole, draw = source.read_bytes(), np.random.default_rng(1)
    for number in range(40):
        damaged = bytearray(whole)
        for place_of_damage in draw.integers(0, len(whole), draw.integers(1, 4)):
            damaged[place_of_damage] = draw.integers(256)
        source.write_bytes(damaged)
        out = tmp_path / str(number)
        with suppress(ValueError):
            unpack(source, out, place)
        if kind != "tar":  # the others have checksums
            assert {name: value for name, value in content(out).items() if name in WHOLE and value != WHOLE[name]} == {}
    assert all(path.name.isdigit() or "unfinished" in path.name or path == source for path in tmp_path.iterdir())


def test_a_member_larger_than_its_set_can_be_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_LARGEST_ARRAY", 702)
    with pytest.raises(ValueError, match=r"3\.bin has 703 bytes"):
        unpack(make_tar(tmp_path / "set.tar"), tmp_path / "tar", place)
    assert not (tmp_path / "tar").exists()
    found = unpack(make_zip(tmp_path / "set.zip"), tmp_path / "zip", place)
    assert found.count == 6
    assert [name for name, _ in found.damaged] == ["set/a/3.bin", "set/b/3.bin"]
