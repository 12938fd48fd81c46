"""Lists and errors are cut to a line, and progress is printed where it is wanted."""

from __future__ import annotations

import re
import sys

import pytest

from nda_mm.utils.messages import Progress, describe_error, shorten


def test_lists_and_errors_are_cut() -> None:
    assert shorten("abcdef", 4) == "a, b, c, d and 2 more"
    assert (shorten(["a", "b"], 4), shorten([])) == ("a, b", "none")
    assert describe_error(ValueError("first\nsecond")) == "ValueError: first"
    assert describe_error(ValueError()) == "ValueError"


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_rewrites_its_line_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with Progress("reading", 4, "files", seconds=0) as progress:
        for done in (1, 2):
            progress.update(done)
    out, err = capsys.readouterr()
    assert re.search(r"reading: 2 of 4 files, \S+ a second, \d:\d\d:\d\d left", err) and not out
    assert err.count("\n") == (1 if terminal else 2) and err.count("\r") == 2 * terminal


def test_what_is_quick_and_all_processes_but_the_first_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress("reading", 4, "files") as progress:
        progress.update(1)
    monkeypatch.setenv("RANK", "1")
    with Progress("reading", 4, "files", seconds=0) as progress:
        progress.update(1)
    assert capsys.readouterr().err == ""
