"""A bridge is switched off by its host's failure, and by nothing else.

Bridges and hosts are real modules in a temporary folder; a host bears the name of a known one and shadows it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.logging import MMLogger

from nda_mm.compat import Host, guard, import_guarded


class Records(logging.Handler):
    """Keeps what is logged at level WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def logged() -> list[str]:
    """The warnings that reach mmengine's current logger."""
    records = Records()
    MMLogger.get_instance("guard-test").handlers = [records]
    return records.messages


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> Iterator[Path]:
    """A folder that Python looks into first, with mmaction forgotten, so that a host written there is the one found."""
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] in ("mmaction", "bridge")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(guard, "_warned", set())
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] in ("mmaction", "bridge")]:
        del sys.modules[name]


def write(folder: Path, **modules: str) -> None:
    """Write modules; ``a__b`` is module b of package a."""
    for name, source in modules.items():
        path = folder.joinpath(*name.split("__"))
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch() if path.parent != folder else None
        path.with_suffix(".py").write_text(source)


def test_a_sound_host_is_used(folder: Path, logged: list[str]) -> None:
    write(folder, mmaction__models="X = 1", bridge="from mmaction.models import X")
    assert import_guarded("bridge")
    assert sys.modules["bridge"].X == 1
    assert not logged


@pytest.mark.parametrize(
    ("host_source", "cause", "remedy"),
    [
        (
            "raise AssertionError('MMCV==2.2.0 is used but incompatible.')",
            "AssertionError: MMCV==2.2.0 is used",
            "nda_mm[lite]",
        ),
        (
            "import numpy; numpy.no_such_name",
            "AttributeError: module 'numpy' has no attribute 'no_such_name'",
            "nda_mm[video]",
        ),
        ("import a_module_that_is_absent", "No module named 'a_module_that_is_absent'", "nda_mm[video]"),
        (
            "raise OSError('libcudart.so.13: cannot open shared object file')",
            "OSError: libcudart.so.13",
            "nda_mm[video]",
        ),
        (
            "def f():\n    raise RuntimeError('operator torchvision::nms does not exist')\nf()",
            "torchvision::nms",
            "nda_mm[video]",
        ),
    ],
)
def test_a_broken_host_costs_its_bridge_and_one_warning(
    folder: Path, logged: list[str], host_source: str, cause: str, remedy: str
) -> None:
    write(folder, mmaction__models=host_source, bridge="import mmaction.models")
    assert not import_guarded("bridge")
    assert not import_guarded("bridge")
    assert len(logged) == 1
    assert cause in logged[0]
    assert "bridge and whatever else of nda_mm needs mmaction2 is switched off" in logged[0]
    assert remedy in logged[0]
    assert "bridge" not in sys.modules


def test_an_absent_host_is_survived(folder: Path, monkeypatch: pytest.MonkeyPatch, logged: list[str]) -> None:
    write(folder, bridge="from mmaction.models import X")
    monkeypatch.setitem(sys.modules, "mmaction", None)  # the interpreter's own way to say: absent
    assert not import_guarded("bridge")
    assert "pip install 'nda_mm[video]'" in logged[0]


@pytest.mark.parametrize(
    ("bridge", "error", "message"),
    [
        ("import mmaction.models\n{}['typo']", KeyError, "typo"),
        ("import mmaction.models\nimport no_such_module_of_ours", ModuleNotFoundError, "no_such_module_of_ours"),
        ("import mmaction.models\nraise AssertionError('ours')", AssertionError, "ours"),
        ("from mmaction.models import Typo", ImportError, "Typo"),
        ("import mmaction.modles", ModuleNotFoundError, "modles"),
        ("def f(:", SyntaxError, "invalid syntax"),
        ("from mmaction.models import fail\nfail(0)", ZeroDivisionError, "division"),
    ],
)
def test_our_own_mistakes_are_raised(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bridge: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setattr(Host, "version", lambda self: "1.2.0")
    write(folder, mmaction__models="X = 1\ndef fail(x):\n    return 1 / x", bridge=bridge)
    with pytest.raises(error, match=message):
        import_guarded("bridge")


def test_a_name_that_an_untried_version_lacks_is_the_hosts_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Host, "version", lambda self: "9.0.0")
    write(folder, mmaction__models="X = 1", bridge="from mmaction.models import MovedElsewhere")
    assert not import_guarded("bridge")
