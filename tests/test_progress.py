"""What is said of something that takes long, where it goes, and that it comes often enough."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nda_mm.datasets.decoding import decode_images
from nda_mm.progress import Progress

LINE = r"reading: 2 of 4 files, \S+ a second, \d:\d\d:\d\d left"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only item."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_lines_come_every_few_seconds_where_nobody_watches(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("reading", 1000, "files") as progress:
        for done in range(1, 1001):
            clock[0] += 0.5
            progress.update(done)
    out, err = capsys.readouterr()
    times = [int(line.split()[1].replace(",", "")) / 2 for line in err.splitlines()]
    assert out == "" and all(0 < later - earlier <= 5 for earlier, later in zip([0.0, *times], times))
    assert "reading: 60 of 1,000 files, 2 a second, 0:07:50 left\n" in err


@pytest.mark.parametrize("terminal", [False, True])
def test_a_terminal_shows_one_line_in_its_place(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    with Progress("reading", 4, "files") as progress:
        for done in (1, 2):
            clock[0] += 4
            progress.update(done)
    err = capsys.readouterr().err
    assert re.search(LINE, err) and err.count("\n") == (1 if terminal else 2) and err.count("\r") == 2 * terminal


def test_what_is_quick_and_all_processes_but_the_first_say_nothing(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Progress("reading", 4, "files") as progress:
        progress.update(1)
    monkeypatch.setenv("RANK", "1")
    with Progress("reading", 4, "files") as progress:
        clock[0] += 60
        progress.update(1)
    assert capsys.readouterr().err == ""


def test_decoding_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Progress.__init__, "__defaults__", (0.0,))
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file in files:
        file.touch()
    decode_images(files, lambda _: np.zeros((2, 2, 3), np.uint8), (2, 2, 3), root=tmp_path, name="x", cache_dir=False)
    assert f"decoding '{tmp_path}': 3 of 3 images" in capsys.readouterr().err
