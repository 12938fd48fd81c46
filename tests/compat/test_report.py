"""``python -m nda_mm.compat``."""

from __future__ import annotations

import sys

import pytest

from nda_mm.compat import Framework, find_framework
from nda_mm.compat.__main__ import judge, main


@pytest.mark.slow
def test_core_loads_and_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["torch", "mmengine"]) == 0
    table, patches = capsys.readouterr().out.split("Patches:")
    assert [row.split()[0] for row in table.splitlines()[1:3]] == ["torch", "mmengine"]
    assert all(row.endswith("loads") for row in table.splitlines()[1:3])
    assert "safe-globals" in patches


def test_what_is_absent_fails_with_a_remedy_if_it_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mmaction"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mmaction", None)
    monkeypatch.setattr(Framework, "version", lambda self: None)
    assert main(["mmaction2"]) == 1
    output = capsys.readouterr().out
    assert "mmaction2 - >=1.2.0,<1.3.0 absent" in " ".join(output.split())
    assert "mmaction2: ModuleNotFoundError" in output
    assert "pip install 'nda_mm[video]'" in output
    monkeypatch.setattr("nda_mm.compat.__main__.FRAMEWORKS", (find_framework("mmaction"),))
    assert main([]) == 0


def test_an_unknown_name_is_a_wrong_use() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["mmseg"])
    assert stopped.value.code == 2


def test_versions_outside_the_window_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    mmdet = find_framework("mmdet")
    monkeypatch.setattr(Framework, "version", lambda self: "3.9.0")
    assert judge(mmdet, None) == ("loads, untried", "mmdet: 3.9.0 is outside >=3.3.0,<3.4.0")
    state, advice = judge(mmdet, ImportError("old"))
    assert state == "broken"
    assert "3.9.0 is outside >=3.3.0,<3.4.0; pip install 'nda_mm[det]'" in advice
