"""Installations that were interrupted are found."""

from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools import check_install
from tools.check_install import incomplete_packages, is_complete


def install(folder: Path, *, record: bool = True) -> Distribution:
    """A package of two files, as pip leaves it."""
    (folder / "thing").mkdir()
    (folder / "thing" / "__init__.py").write_text("")
    (folder / "thing" / "core.so").write_text("")
    info = folder / "thing-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.2\n")
    if record:
        lines = ["thing/__init__.py,,", "thing/core.so,,", "thing/__pycache__/__init__.cpython-311.pyc,,"]
        (info / "RECORD").write_text(
            "\n".join([*lines, "thing-1.2.dist-info/METADATA,,", "thing-1.2.dist-info/RECORD,,"])
        )
    return Distribution.at(info)


def test_whole_packages_pass_without_their_byte_code(tmp_path: Path) -> None:
    assert is_complete(install(tmp_path))


def test_a_missing_file_is_found(tmp_path: Path) -> None:
    thing = install(tmp_path)
    (tmp_path / "thing" / "core.so").unlink()
    assert not is_complete(thing)


def test_a_missing_record_is_found(tmp_path: Path) -> None:
    """pip writes it last, so an interrupted installation has none."""
    assert not is_complete(install(tmp_path, record=False))


def test_the_broken_are_named_with_their_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    thing = install(tmp_path, record=False)
    monkeypatch.setattr(check_install, "distributions", lambda: [thing])
    assert incomplete_packages() == ["thing==1.2"]


def test_this_environment_is_whole() -> None:
    assert incomplete_packages() == []
