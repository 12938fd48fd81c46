"""Settings as words, what is being loaded, and errors as one line."""

from __future__ import annotations

import argparse
import re
import sys

import pytest

from nda_mm.command_line import TRACEBACK, add_cfg_options, one_line_errors, read_settings, say_loading
from nda_mm.compat import find_framework
from nda_mm.negatives import build_negative
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
        assert f"KEY=VALUE, but got {word!r}" in capsys.readouterr().err


def test_the_first_process_says_what_is_being_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = find_framework("torch").version()
    say_loading("torch", "absent")  # which these tests have loaded
    monkeypatch.delitem(sys.modules, "torch")
    say_loading("torch", "absent")
    monkeypatch.setenv("RANK", "1")
    say_loading("torch")
    assert capsys.readouterr().err == f"loading torch {version} ...\n"


def test_an_error_of_ours_is_its_message_and_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped, one_line_errors():
        build_negative("Jigsaw")
    assert stopped.value.code == 1
    printed = capsys.readouterr().err
    assert re.fullmatch(r"\nerror: .*'Jigsaw'\n\(nda_mm/negatives/\S+\.py:\d+; NDA_MM_TRACEBACK=1 .*\)\n", printed)
    with pytest.raises(SystemExit), one_line_errors():
        MODELS.build(dict(type="Absent"))
    assert re.match(r"\nerror: \w.*Absent", capsys.readouterr().err)  # a KeyError's own str() has quotes around it
    monkeypatch.setenv(TRACEBACK, "1")
    with pytest.raises(TypeError), one_line_errors():
        build_negative("Jigsaw")


@pytest.mark.parametrize("kind", [ValueError, ZeroDivisionError])
def test_errors_from_elsewhere_are_left_alone(kind: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(kind, match="elsewhere"), one_line_errors():
        raise kind("elsewhere")
    assert capsys.readouterr().err == ""
