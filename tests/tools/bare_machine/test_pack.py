"""What is packed: every part within its size, nothing lost, the set-up's files first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.bare_machine.pack import HERE, PROJECT, move_to_parts, split_into_parts, wanted


def test_every_package_to_be_carried_has_a_version() -> None:
    packages = wanted((HERE / "wheels.txt").read_text().splitlines())
    pinned = {
        line.split("==")[0].lower() for line in (PROJECT / "constraints.txt").read_text().splitlines() if "==" in line
    }
    same = {name.replace("_", "-") for name in pinned}
    assert len(packages) > 20
    assert [name for name in packages if name.lower().replace("_", "-") not in same] == []


def test_parts_hold_everything_once_within_their_size() -> None:
    files = {Path(f"file_{number}"): size for number, size in enumerate([50, 30, 60, 20, 20, 10, 90])}
    parts = split_into_parts(files, {Path("list.json"): 10}, limit=110)
    assert sorted(path for part in parts for path in part) == sorted(files)
    assert all(sum(files[path] for path in part) <= 100 for part in parts)
    assert parts[0] == [Path("file_0"), Path("file_1"), Path("file_3")]
    with pytest.raises(ValueError, match=r"file_6 has 0\.0 MiB, and a part has room for 0\.0"):
        split_into_parts(files, {}, limit=80)


def test_sheets_come_after_wheels_and_their_list_with_every_part(tmp_path: Path) -> None:
    gathered, out = tmp_path / "gathered", tmp_path / "packed"
    contents = {f"images/set/train/{name}/000000.webp": 40 for name in "abc"}
    contents |= {"images/set/sheets.json": 5, "wheels/a.whl": 30, "sources/mmcv.tar.gz": 30}
    for name, size in contents.items():
        path = gathered / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    stale = out / "part_7" / "old"
    stale.parent.mkdir(parents=True)
    stale.touch()
    report = move_to_parts(gathered, out, limit=105)
    assert [(folder.name, files, size) for folder, files, size in report] == [("part_0", 3, 105), ("part_1", 2, 85)]
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == sorted(
        [
            "part_0/wheels/a.whl",
            "part_0/sources/mmcv.tar.gz",
            "part_0/images/set/train/a/000000.webp",
            "part_0/images/set/sheets.json",
            "part_1/images/set/train/b/000000.webp",
            "part_1/images/set/train/c/000000.webp",
            "part_1/images/set/sheets.json",
        ]
    )
