"""Trainings stopped, continued, refused and failing; small processes stand for them."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nda_mm.studies import processes
from nda_mm.studies.training_jobs import Training, is_finished, refuse_other_settings, train_all

DONE = [sys.executable, "-c", "pass"]
#: Trains until it is asked to stop, and ends then as tools/train.py does.
ENDLESS = [
    sys.executable,
    "-c",
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
    "print('training', flush=True)\n"
    "while True: time.sleep(0.01)",
]


def trainings(folder: Path, count: int = 2, **kwargs) -> list[Training]:
    return [Training("a.py", seed, folder / f"{seed}", "a", dict(recipe="1"), **kwargs) for seed in range(count)]


def said(training: Training) -> list[str]:
    return (training.folder / "output.txt").read_text().splitlines()


#: Asks the parent to stop, once it trains.
ASKING = [*ENDLESS[:2], ENDLESS[2].replace("while", "import os; os.kill(os.getppid(), signal.SIGTERM)\nwhile")]


def test_sigterm_stops_what_runs_and_the_next_call_goes_on(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    both = trainings(tmp_path)
    assert train_all(both, ASKING) == []
    assert signal.getsignal(signal.SIGTERM) is before
    out = capsys.readouterr().out
    assert "a, seed 0: stopped" in out and "a, seed 1: not trained on" in out
    assert said(both[0]) == ["training", "saved"]
    assert not both[1].folder.exists()
    assert not any(is_finished(each.folder) for each in both)

    assert train_all(both, DONE, jobs=2) == []
    assert all(is_finished(each.folder) for each in both)


def test_a_run_that_will_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_GRACE", 0.2)
    deaf = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getppid(), signal.SIGTERM);"
        "time.sleep(60)"
    )
    assert train_all(trainings(tmp_path, 1), [sys.executable, "-c", deaf]) == []


def test_a_failure_costs_the_others_nothing(tmp_path, capsys):
    first, second = trainings(tmp_path)
    fails = [sys.executable, "-c", "import sys; print('no data'); sys.exit(3 if '0' == sys.argv[5] else 0)"]
    assert train_all([first, second], fails) == [first]
    assert is_finished(second.folder)
    assert "a, seed 0: ended with status 3\nno data" in capsys.readouterr().err


def test_a_run_that_is_told_to_stop_by_others_has_failed(tmp_path):
    (only,) = trainings(tmp_path, 1)
    assert train_all([only], [sys.executable, "-c", "raise SystemExit(143)"]) == [only]


def test_what_has_finished_at_fewer_steps_is_continued(tmp_path):
    (short,) = trainings(tmp_path, 1, length=100)
    train_all([short], DONE)
    assert json.loads((short.folder / "finished.json").read_text()) == dict(recipe="1", seed=0, length=100)
    assert [is_finished(short.folder, length) for length in (50, 100, 101, None)] == [True, True, False, True]
    longer = replace(short, length=200)
    assert train_all([longer], [sys.executable, "-c", "raise SystemExit(3)"]) == [longer]
    assert is_finished(short.folder, 100)
    train_all([longer], DONE)
    assert is_finished(short.folder, 200)
    # A folder of before lengths were kept is finished.
    (short.folder / "finished.json").write_text('{"recipe": "1", "seed": 0}')
    assert is_finished(short.folder, 300)


@pytest.mark.parametrize(
    ("started", "settings", "refused"),
    [
        (dict(recipe="1"), dict(recipe="1", course="c"), False),  # of before courses were kept
        (dict(recipe="1", course="c"), dict(recipe="2", course="c"), False),
        (dict(recipe="1", course="c"), dict(recipe="2", course="d"), True),
        (dict(recipe="1"), dict(recipe="2", course="c"), True),
        (dict(recipe="1", weights="w"), dict(recipe="1", weights="v"), True),
    ],
)
def test_only_the_length_may_change(tmp_path, started, settings, refused):
    (tmp_path / "started.json").write_text(json.dumps(started))
    training = Training("a.py", 0, tmp_path, "a", settings)
    if refused:
        with pytest.raises(ValueError, match="holds a run of a with other (settings|weights); remove it, or choose"):
            refuse_other_settings([training])
    else:
        refuse_other_settings([training])


def test_bad_use_is_refused(tmp_path):
    with pytest.raises(ValueError, match="jobs must be at least 1, but got 0"):
        train_all(trainings(tmp_path), DONE, jobs=0)
