"""What runs on a bare machine: commands in order, once, within their time, and a line for each."""

from __future__ import annotations

import csv
import sys
import zipfile
from pathlib import Path

import pytest

from tools.bare_machine import run as tool
from tools.bare_machine.run import COMMANDS, main, read_commands


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A table of commands of this test's own."""
    path = tmp_path / "commands.txt"
    monkeypatch.setattr(tool, "COMMANDS", path)
    return path


def call(tmp_path: Path, *arguments: str) -> int:
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "results")]
    return main([str(tmp_path / "packed"), *arguments, *folders])


def times(tmp_path: Path) -> list[tuple[str, str, str]]:
    with (tmp_path / "results" / "times.csv").open(newline="") as file:
        return [(row["step"], row["name"], row["status"]) for row in csv.DictReader(file)]


def test_the_table_that_is_shipped_names_files_that_exist(project_root: Path) -> None:
    commands = read_commands(COMMANDS)
    assert [*dict.fromkeys(command.step for command in commands)] == ["data", "tests", "benchmarks", "study"]
    for command in commands:
        filled = command.line.format(python="python", out="OUT", packed="PACKED", work="WORK", minutes=1)
        named = [word for word in filled.split() if word.startswith(("tools/", "configs/"))]
        assert named or " -m " in filled
        assert [word for word in named if not (project_root / word).is_file()] == []
        assert command.seconds < 600


def test_commands_run_once_and_see_the_overlay_and_the_project(tmp_path: Path, table: Path, project_root: Path) -> None:
    table.write_text(
        "# a comment\n\n"
        "first  one  20  echo ran >> {out}/count; pwd > {out}/where; echo $PYTHONPATH > {out}/path\n"
        "second two  20  {python} -c 'import sys; print(sys.version_info[:2])' > {out}/version\n"
    )
    assert call(tmp_path, "first", "second") == 0
    assert call(tmp_path, "first", "second") == 0
    out = tmp_path / "results"
    assert (out / "count").read_text() == "ran\n"
    assert (out / "where").read_text().strip() == str(project_root)
    assert (out / "path").read_text().strip().split(":")[:2] == [str(project_root), str(tmp_path / "work" / "site")]
    assert (out / "version").read_text().strip() == str(sys.version_info[:2])
    assert times(tmp_path) == [("first", "one", "done"), ("second", "two", "done")]
    assert call(tmp_path, "first", "--again", "one") == 0
    assert (out / "count").read_text() == "ran\nran\n"


def test_all_results_fit_into_one_file(tmp_path: Path, table: Path) -> None:
    table.write_text("step one 20 mkdir {out}/deep; echo figures > {out}/deep/one.json\n")
    assert call(tmp_path, "step", "--zip", str(tmp_path / "results" / "all.zip")) == 0
    with zipfile.ZipFile(tmp_path / "results" / "all.zip") as archive:
        assert archive.namelist() == ["deep/one.json", "one.log", "times.csv"]
        assert archive.read("deep/one.json") == b"figures\n"


def test_a_failure_is_told_with_its_last_words_and_run_again(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text("step bad 20 echo its last words; exit 7\nstep good 20 echo fine\n")
    assert call(tmp_path, "step") == 1
    assert "its last words" in capsys.readouterr().out
    assert (tmp_path / "results" / "bad.log").read_text() == "$ echo its last words; exit 7\nits last words\n"
    table.write_text("step bad 20 true\nstep good 20 echo fine\n")
    assert call(tmp_path, "step") == 0
    assert times(tmp_path) == [("step", "bad", "failed 7"), ("step", "good", "done"), ("step", "bad", "done")]


def test_what_takes_too_long_may_save_and_is_ended_with_all_it_started(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool, "MARGIN", 1)
    table.write_text(
        "step slow 5 (sleep 60; touch {out}/too_late) & trap 'touch {out}/saved' TERM; while true; do sleep 0.1; done\n"
    )
    assert call(tmp_path, "step") == 1
    assert times(tmp_path) == [("step", "slow", "timed out")]
    assert (tmp_path / "results" / "saved").exists()


def test_nothing_is_started_that_may_end_too_late(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text("step long 100 true\nstep short 20 true\n")
    assert call(tmp_path, "step", "--minutes", "1") == 3
    assert times(tmp_path) == [("step", "short", "done")]
    assert "1 commands have more to do: give the same line again." in capsys.readouterr().out
    assert call(tmp_path, "step") == 0


def test_what_waits_for_more_data_is_called_again(tmp_path: Path, table: Path) -> None:
    table.write_text("step data 20 test -e {packed}/part_1 || exit 3\n")
    assert call(tmp_path, "step") == 3
    (tmp_path / "packed" / "part_1").mkdir(parents=True)
    assert call(tmp_path, "step") == 0
    assert times(tmp_path) == [("step", "data", "to go on"), ("step", "data", "done")]


def test_a_command_that_goes_on_is_told_how_long_it_has(tmp_path: Path, table: Path) -> None:
    table.write_text("step study 1000 echo {minutes} >> {out}/told; exit $(( $(wc -l < {out}/told) < 2 ? 3 : 0 ))\n")
    assert call(tmp_path, "step", "--minutes", "5") == 3
    assert call(tmp_path, "step", "--minutes", "1") == 3, "too little to begin with"
    assert call(tmp_path, "step") == 0
    first, second = [float(line) for line in (tmp_path / "results" / "told").read_text().split()]
    assert 4 < first <= 4.5
    assert second == pytest.approx((1000 - tool.MARGIN) / 60, abs=0.01)
    assert times(tmp_path) == [("step", "study", "to go on"), ("step", "study", "done")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("step name soon true\n", "line 1: expected STEP NAME SECONDS COMMAND, but got 'step name soon true'"),
        ("a one 5 true\nb one 5 true\n", "names must differ, but these do not: one"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(table: Path, text: str, match: str) -> None:
    table.write_text(text)
    with pytest.raises(ValueError, match=match):
        read_commands(table)
