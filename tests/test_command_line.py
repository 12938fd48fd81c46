"""Settings as words, what is being loaded, what is printed for a refusal, and which errors keep their traceback."""

from __future__ import annotations

import argparse
import re
import sys

import mmengine.registry
import pytest

from nda_mm.command_line import TRACEBACK, add_cfg_options, plain_refusals, read_settings, say_loading
from nda_mm.compat import find_host
from nda_mm.negatives import build_negative
from nda_mm.random_state import RandomState
from nda_mm.registry import MODELS


def test_settings_stay_words_until_they_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_cfg_options(parser)
    args = parser.parse_args(["--cfg-options", "a.b=1", "c=[1,dict(d=x)]", "--cfg-options", "e=(True,none)", "f=g=h"])
    assert args.cfg_options == ["a.b=1", "c=[1,dict(d=x)]", "e=(True,none)", "f=g=h"]
    assert read_settings(["a.b=1", "c=[1,2]", "e=(True,None)", "f=g=h"]) == {
        "a.b": 1, "c": [1, 2], "e": (True, None), "f": "g=h"
    }  # fmt: skip
    assert read_settings(None) == {} and read_settings({"a.b": 1}) == {"a.b": 1}
    for word in ("train_cfg.max_iters", "=3"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--cfg-options", word])
        assert f"--cfg-options: settings are written KEY=VALUE, but got {word!r}" in capsys.readouterr().err


def test_the_first_process_says_what_is_being_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = find_host("torch").version()
    say_loading("torch", "absent")  # which these tests have loaded
    monkeypatch.delitem(sys.modules, "torch")
    say_loading("torch", "absent")
    monkeypatch.setenv("RANK", "1")
    say_loading("torch")
    assert capsys.readouterr().err == f"loading torch {version} ...\n"


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
