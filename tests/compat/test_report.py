"""``python -m nda_mm.compat``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nda_mm.compat import Framework, find_framework
from nda_mm.compat.__main__ import Finding, as_text, main


@pytest.mark.slow
def test_core_loads_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torch", "mmengine"]) == 0
    table = capsys.readouterr().out.split("Patches:")[0].splitlines()
    assert [row.split()[0] for row in table[2:4]] == ["torch", "mmengine"]
    assert all(row.endswith("loads") for row in table[2:4])
    assert (
        "safe-globals"
        in subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "nda_mm.compat", "mmengine"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    )


def test_something_asked_for_that_is_absent_fails_with_a_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mmaction"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mmaction", None)
    monkeypatch.setattr(Framework, "version", lambda self: None)
    assert main(["mmaction2"]) == 1
    output = capsys.readouterr().out
    assert "mmaction2  -        >=1.2.0,<1.3.0  absent" in output
    assert "mmaction2: ModuleNotFoundError" in output
    assert "pip install 'nda_mm[video]'" in output


def test_what_is_neither_installed_nor_asked_for_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nda_mm.compat.__main__.FRAMEWORKS", (find_framework("mmaction"),))
    monkeypatch.setattr(Framework, "version", lambda self: None)
    for name in [name for name in sys.modules if name.split(".")[0] == "mmaction"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mmaction", None)
    assert main([]) == 0
    assert main(["mmaction"]) == 1


def test_an_unknown_name_is_a_wrong_use() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["mmseg"])
    assert stopped.value.code == 2


def test_versions_outside_the_window_are_pointed_out() -> None:
    mmdet = find_framework("mmdet")
    works = as_text([Finding(mmdet, "3.9.0")])
    assert "loads, untried" in works
    assert "mmdet: 3.9.0 is outside the versions that were tried" in works
    fails = as_text([Finding(mmdet, "2.9.0", error=ImportError("old"))])
    assert "version 2.9.0 is outside >=3.3.0,<3.4.0; pip install 'nda_mm[det]'" in fails
