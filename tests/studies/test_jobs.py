"""Jobs stopped, continued, refused and failing, with small processes for trainings and tests."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nda_mm.studies import jobs
from nda_mm.studies.jobs import Measurement, Training, is_finished, last_checkpoint, measured, run_all


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


DONE = python("pass")
FAILS = python("raise SystemExit(3)")
#: Trains until it is asked to stop, which it asks its parent for, and ends then as tools/train.py does.
ENDLESS = python(
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
    "print('training', flush=True)\n"
    "os.kill(os.getppid(), signal.SIGTERM)\n"
    "while True: time.sleep(0.01)"
)
#: Writes what mmengine writes; argument 4 is the work dir, the value the number of tests so far.
COUNTS = python(
    "import json, pathlib, sys\n"
    "folder = pathlib.Path(sys.argv[4])\n"
    "number = len(list(folder.glob('*/*.json')))\n"
    "out = folder / f'2026_{number}'\n"
    "out.mkdir()\n"
    "(out / f'{out.name}.json').write_text(json.dumps({'net/frechet': number + 0.5}))"
)


def trainings(folder: Path, count: int = 2, **kwargs) -> list[Training]:
    return [Training("a.py", folder / f"{n}", f"a, seed {n}", dict(recipe="1"), seed=n, **kwargs) for n in range(count)]


def test_sigterm_stops_what_runs_and_the_next_call_continues(tmp_path, capsys):
    before = signal.getsignal(signal.SIGTERM)
    both = trainings(tmp_path)
    assert run_all(both, ENDLESS) == []
    assert signal.getsignal(signal.SIGTERM) is before
    out = capsys.readouterr().out
    assert "a, seed 0: stopped" in out and "a, seed 1: not started" in out
    assert both[0].log.read_text().splitlines() == ["training", "saved"]
    assert not both[1].folder.exists()
    assert not any(each.is_done() for each in both)
    assert run_all(both, DONE, at_once=2) == []
    assert all(each.is_done() for each in both)


def test_a_process_that_does_not_stop_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_GRACE", 0.2)
    deaf = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); os.kill(os.getppid(), signal.SIGTERM);"
        "time.sleep(60)"
    )
    assert run_all(trainings(tmp_path, 1), python(deaf)) == []


def test_after_a_failure_the_others_run(tmp_path, capsys):
    first, second = trainings(tmp_path)
    fails = python("import sys; print('no data'); sys.exit(3 if '0' == sys.argv[5] else 0)")
    assert run_all([first, second], fails) == [first]
    assert second.is_done()
    assert "a, seed 0: ended with status 3\nno data" in capsys.readouterr().err


def test_a_process_that_others_stop_has_failed(tmp_path):
    assert len(run_all(trainings(tmp_path, 1), python("raise SystemExit(143)"))) == 1


def test_a_run_that_finished_with_fewer_steps_is_continued(tmp_path):
    (short,) = trainings(tmp_path, 1, length=100)
    run_all([short], DONE)
    record = short.folder / "finished.json"
    assert json.loads(record.read_text()) == dict(recipe="1", seed=0, length=100)
    assert [is_finished(short.folder, length) for length in (50, 100, 101, None)] == [True, True, False, True]
    longer = replace(short, length=200)
    assert run_all([longer], FAILS) == [longer]
    assert is_finished(short.folder, 100)
    run_all([longer], DONE)
    assert longer.is_done()
    record.write_text('{"recipe": "1", "seed": 0}')  # of a version that kept no lengths
    assert is_finished(short.folder, 300)


@pytest.mark.parametrize(
    ("started", "settings", "refused"),
    [
        (dict(recipe="1"), dict(recipe="1", course="c"), False),  # of a version that kept no courses
        (dict(recipe="1", course="c"), dict(recipe="2", course="c"), False),
        (dict(recipe="1", course="c"), dict(recipe="2", course="d"), True),
        (dict(recipe="1"), dict(recipe="2", course="c"), True),
        (dict(recipe="1", weights="w"), dict(recipe="1", weights="v"), True),
    ],
)
def test_only_the_length_may_change(tmp_path, started, settings, refused):
    (tmp_path / "started.json").write_text(json.dumps(started))
    training = Training("a.py", tmp_path, "a", settings)
    if refused:
        with pytest.raises(ValueError, match="run of a with other (settings|weights)"):
            training.refuse_other_run()
    else:
        training.refuse_other_run()


def test_less_than_one_job_at_once_is_refused(tmp_path):
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        run_all(trainings(tmp_path), DONE, at_once=0)


@pytest.fixture
def one(tmp_path) -> Measurement:
    """Of a work dir whose checkpoint was saved elsewhere."""
    (tmp_path / "iter_20.pth").write_bytes(b"weights")
    (tmp_path / "last_checkpoint").write_text("/elsewhere/run/iter_20.pth")
    checkpoint = last_checkpoint(tmp_path)
    assert checkpoint == tmp_path / "iter_20.pth"
    return Measurement("a.py", tmp_path / "test", "nda, seed 0", dict(config="1"), checkpoint=checkpoint)


def test_a_measurement_is_kept_until_checkpoint_or_config_change(one, tmp_path):
    assert measured(one.folder) is None
    for expected, change in enumerate((None, "weights", "step", "config")):
        if change == "weights":
            os.utime(tmp_path / "iter_20.pth", (1, 1))
        elif change == "step":
            one = replace(one, checkpoint=(tmp_path / "iter_20.pth").rename(tmp_path / "iter_30.pth"))
        elif change == "config":
            one = replace(one, settings=dict(config="2"))
        for _ in range(2):
            assert run_all([one], COUNTS) == []
            assert measured(one.folder) == (20 if expected < 2 else 30, {"net/frechet": expected + 0.5})


def test_a_failed_measurement_is_not_kept(one):
    assert run_all([one], FAILS) == [one]
    assert measured(one.folder) is None


def test_a_run_without_a_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="no checkpoint in"):
        last_checkpoint(tmp_path)
