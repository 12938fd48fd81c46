"""What is printed for a refusal, and which errors keep their traceback."""

from __future__ import annotations

import re

import mmengine.registry
import pytest

from nda_mm.engine.plain_refusals import TRACEBACK, plain_refusals
from nda_mm.negatives import build_negative
from nda_mm.random_state import RandomState
from nda_mm.registry import MODELS


def test_a_refusal_is_its_message_and_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, plain_refusals():
        build_negative("Jigsaw")
    assert stopped.value.code == 1
    assert stopped.value.__cause__ is None and stopped.value.__suppress_context__
    printed = capsys.readouterr().err
    assert re.fullmatch(
        r"\nerror: expected a negative or a dict.*, but got 'Jigsaw'\n"
        r"\(nda_mm/negatives/base\.py:\d+; NDA_MM_TRACEBACK=1 prints the whole traceback\)\n",
        printed,
    )


def test_a_key_error_is_printed_as_it_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), plain_refusals():
        build_negative(dict(type="Absent"))
    assert "\nerror: no negative is registered as 'Absent'; there are: " in capsys.readouterr().err


def test_so_is_a_type_that_no_registry_knows(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), plain_refusals():
        MODELS.build(dict(type="Absent"))
    printed = capsys.readouterr().err
    assert "\nerror: Absent is not in the " in printed and "(mmengine/registry/build_functions.py:" in printed


@pytest.mark.parametrize("kind", [ValueError, KeyError, ZeroDivisionError])
def test_errors_from_elsewhere_are_left_alone(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(kind, match="elsewhere"), plain_refusals():
        raise kind("elsewhere")
    assert capsys.readouterr().err == ""


def test_so_are_those_that_no_statement_of_ours_has_made(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistake within the package shows where it is."""
    with pytest.raises(TypeError, match="not subscriptable"), plain_refusals():
        RandomState.unpack(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at least 1 argument"), plain_refusals():
        mmengine.registry.build_from_cfg(dict(type=dict.fromkeys), MODELS)
    assert capsys.readouterr().err == ""


def test_the_environment_brings_the_traceback_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(TypeError, match="expected a negative"), plain_refusals():
        build_negative("Jigsaw")
    assert capsys.readouterr().err == ""
