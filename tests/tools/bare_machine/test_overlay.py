"""Packages over a Python that stays as it is: from wheels, without a network."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.bare_machine.overlay import Overlay


def make_wheel(folder: Path, version: str) -> Path:
    """A package that this Python does not have."""
    folder.mkdir(exist_ok=True)
    path = folder / f"carried_thing-{version}-py3-none-any.whl"
    info = f"carried_thing-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("carried_thing.py", f"VERSION = '{version}'\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: carried-thing\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


def seen(overlay: Overlay) -> str:
    code = "import carried_thing, nda_mm; print(carried_thing.VERSION)"
    done = subprocess.run([sys.executable, "-c", code], env=overlay.environment(), capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.slow
def test_wheels_are_laid_over_once_and_anew_when_they_change(tmp_path: Path) -> None:
    overlay = Overlay(tmp_path / "site")
    old = make_wheel(tmp_path / "wheels", "1.0")
    assert overlay.fill([old])
    assert seen(overlay) == "1.0"
    assert not overlay.fill([old])
    new = make_wheel(tmp_path / "wheels", "2.0")
    assert overlay.fill([new])
    assert seen(overlay) == "2.0"
    overlay.install(old)
    assert seen(overlay) == "1.0"


def test_without_wheels_it_says_what_must_come(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no wheels: the part that holds them, part_0, must come first"):
        Overlay(tmp_path / "site").fill([])


@pytest.mark.slow
def test_mmcv_is_judged_by_an_operator(tmp_path: Path) -> None:
    pytest.importorskip("mmcv")
    assert Overlay(tmp_path / "site").has_mmcv()
    hidden = tmp_path / "other" / "mmcv"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("")
    assert not Overlay(tmp_path / "other").has_mmcv()
