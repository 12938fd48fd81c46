"""Jobs stopped, continued, refused and failing, with small processes for trainings and tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_jobs import COUNTS, DONE, FAILS, python

from nda_mm.studies import jobs
from nda_mm.studies.jobs import Measurement, Training, course, is_finished, last_checkpoint, measured, resolve, run_all
from nda_mm.utils.files import recipe_path

#: Trains until it is asked to stop, which it asks its parent for, and ends then as tools/train.py does.
ENDLESS = python(
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(143)))\n"
    "print('training', flush=True)\n"
    "os.kill(os.getppid(), signal.SIGTERM)\n"
    "while True: time.sleep(0.01)"
)


def trainings(folder: Path, count: int = 2, **kwargs) -> list[Training]:
    return [Training("a.py", folder / f"{n}", f"a, seed {n}", dict(course="1"), seed=n, **kwargs) for n in range(count)]


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
    no_data = python("import sys; print('no data'); sys.exit(3 if '0' == sys.argv[5] else 0)")
    assert run_all([first, second], no_data) == [first]
    assert second.is_done()
    assert "a, seed 0: ended with status 3\nno data" in capsys.readouterr().err
    assert run_all([first], python("raise SystemExit(143)")) == [first]  # stopped by others


def test_a_run_that_finished_with_fewer_steps_is_continued(tmp_path):
    (short,) = trainings(tmp_path, 1, length=100)
    run_all([short], DONE)
    record = short.folder / "finished.json"
    assert json.loads(record.read_text()) == dict(course="1", seed=0, length=100)
    assert [is_finished(short.folder, length) for length in (50, 100, 101, None)] == [True, True, False, True]
    longer = replace(short, length=200)
    assert run_all([longer], FAILS) == [longer]
    assert is_finished(short.folder, 100)
    run_all([longer], DONE)
    assert longer.is_done()


def test_a_folder_of_another_run_is_refused(tmp_path):
    training = Training("a.py", tmp_path, "a", dict(course="1", weights="w"))
    training.check_folder()
    training.before()
    training.check_folder()
    replace(training, settings=dict(course="1"), length=9).check_folder()  # weights that are not known yet
    for changed in ("course", "weights"):
        with pytest.raises(ValueError, match=rf"run of a .*\({changed}\)"):
            replace(training, settings={**training.settings, changed: "2"}).check_folder()


def test_runs_at_the_same_time_share_the_cores(tmp_path, monkeypatch):
    says = python("import os; print('threads', os.environ.get('OMP_NUM_THREADS'))")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    for at_once, given, expected in ((1, None, "None"), (3, None, "5"), (3, "2", "2")):
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        (training,) = trainings(tmp_path / f"{at_once}_{given}", 1)
        assert run_all([training], says, at_once) == []
        assert training.log.read_text() == f"threads {expected}\n"
    with pytest.raises(ValueError, match="jobs"):
        run_all([training], says, at_once=0)


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
            assert measured(one.folder) == (
                20 if expected < 2 else 30,
                {"net/frechet": expected + 0.5, "toy/slope": 9.0},
            )


def test_a_failed_measurement_is_not_kept(one, tmp_path):
    assert run_all([one], FAILS) == [one]
    assert measured(one.folder) is None
    with pytest.raises(ValueError, match="no checkpoint in"):
        last_checkpoint(tmp_path / "test")


def test_a_config_may_inherit_a_recipe_of_the_package(tmp_path):
    (tmp_path / "own.py").write_text("_base_ = 'nda_mm::biggan/nda_biggan_digits.py'\n")
    # A process of its own, in which nothing has patched mmengine before.
    code = "import sys; from nda_mm.studies.jobs import resolve; print(resolve(sys.argv[1]).model.type)"
    words = [sys.executable, "-c", code, str(tmp_path / "own.py")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()[-1] == "nda_mm.NDABigGAN"


def test_the_course_is_neither_the_length_nor_the_evaluation():
    recipe = str(recipe_path("nda_biggan_digits"))
    own = course(resolve(recipe))
    length = ["train_cfg.max_iters=9", "train_cfg.val_interval=3", "generator_steps=9", "val_evaluator=None"]
    assert course(resolve(recipe, [*length, "default_hooks.checkpoint.interval=7"])) == own
    for change in ("train_cfg.type=IterBasedTrainLoop", "train_dataloader.batch_size=2", "model.fake_weight=0.3"):
        assert course(resolve(recipe, [change])) != own
