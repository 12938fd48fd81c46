"""SIGTERM: the run ends after its iteration, with a checkpoint from which it goes on to the same weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from mmengine.runner import Runner
from tiny_run import assert_equal

Make = Callable[..., dict[str, Any]]


STOPPING = (dict(type="nda_mm.StopOnSignalHook"),)


def asked_at(iteration: int) -> Callable[[Runner], None]:
    """Asks its own process to stop, in the midst of an iteration."""

    def ask(runner: Runner) -> None:
        if runner.iter + 1 == iteration:
            os.kill(os.getpid(), signal.SIGTERM)

    return ask


@pytest.mark.slow
@pytest.mark.parametrize("at", [6, 7])  # at 6 a validation is due
def test_the_stopped_run_goes_on_to_the_same_weights(config: Make, at: int) -> None:
    settings: dict[str, Any] = dict(validate=True, accumulate=2)
    straight = tiny_run.train(config("straight", **settings))
    usual = signal.getsignal(signal.SIGTERM)
    given = config("stopped", **settings, save_every=4, custom_hooks=STOPPING)
    stopped = tiny_run.train(given, before_train_iter=asked_at(at))
    assert (stopped.iter, tiny_run.hook(stopped, "StopOnSignalHook").stopped) == (at, True)
    assert signal.getsignal(signal.SIGTERM) is usual
    assert sorted(path.name for path in Path(stopped.work_dir).glob("*.pth")) == ["iter_4.pth", f"iter_{at}.pth"]
    validated: list[int] = []
    resumed = tiny_run.train(given, resume=True, before_val=lambda runner: validated.append(runner.iter))
    assert resumed.iter == 10
    assert validated == [each for each in (6, 9, 10) if each >= at]
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))


def test_a_run_that_is_asked_in_its_last_iteration_has_finished(config: Make) -> None:
    runner = tiny_run.train(config("run", steps=2, custom_hooks=STOPPING), before_train_iter=asked_at(2))
    hook = tiny_run.hook(runner, "StopOnSignalHook")
    assert (runner.iter, hook.asked, hook.stopped) == (2, True, False)


def test_where_no_iteration_can_be_saved_the_signal_keeps_its_effect(config: Make) -> None:
    def refuse(number: int, frame: Any) -> None:
        raise tiny_run.Interrupted

    usual = signal.signal(signal.SIGTERM, refuse)
    try:
        cfg = config("run", epochs=True, steps=2, checkpoint=dict(by_epoch=True), custom_hooks=STOPPING)
        runner = tiny_run.train(cfg, before_train_iter=asked_at(2))
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert (runner.iter, tiny_run.hook(runner, "StopOnSignalHook").asked) == (1, False)
