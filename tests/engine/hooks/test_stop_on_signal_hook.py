"""SIGTERM: the run ends after its iteration, with a checkpoint from which it goes on to the same weights."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from tiny_run import assert_equal

Make = Callable[..., dict[str, Any]]


@HOOKS.register_module(force=True)
class SignalHook(Hook):
    """Asks its own process to stop, in the midst of an iteration."""

    def __init__(self, at: int) -> None:
        self.at = at

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        if runner.iter + 1 == self.at:
            os.kill(os.getpid(), signal.SIGTERM)


@HOOKS.register_module(force=True)
class CountHook(Hook):
    """Notes the iterations that are validated."""

    def __init__(self) -> None:
        self.at: list[int] = []

    def before_val(self, runner: Runner) -> None:
        self.at.append(runner.iter)


def asked_at(iteration: int) -> tuple[dict[str, Any], ...]:
    return dict(type="SignalHook", at=iteration), dict(type="nda_mm.StopOnSignalHook")


@pytest.mark.slow
@pytest.mark.parametrize("at", [6, 7])  # at 6 a validation is due
def test_the_stopped_run_goes_on_to_the_same_weights(config: Make, at: int) -> None:
    settings: dict[str, Any] = dict(validate=True, accumulate=2)
    straight = tiny_run.train(config("straight", **settings))
    usual = signal.getsignal(signal.SIGTERM)
    given = config("stopped", **settings, save_every=4, custom_hooks=asked_at(at))
    stopped = tiny_run.train(given)
    assert (stopped.iter, tiny_run.hook(stopped, "StopOnSignalHook").stopped) == (at, True)
    assert signal.getsignal(signal.SIGTERM) is usual
    assert sorted(path.name for path in Path(stopped.work_dir).glob("*.pth")) == ["iter_4.pth", f"iter_{at}.pth"]
    counts = [dict(type="CountHook")]
    resumed = tiny_run.train({**given, "custom_hooks": counts}, resume=True)
    assert resumed.iter == 10
    assert tiny_run.hook(resumed, "CountHook").at == [each for each in (6, 9, 10) if each >= at]
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))


def test_a_run_that_is_asked_in_its_last_iteration_has_finished(config: Make) -> None:
    runner = tiny_run.train(config("run", steps=2, custom_hooks=asked_at(2)))
    hook = tiny_run.hook(runner, "StopOnSignalHook")
    assert (runner.iter, hook.asked, hook.stopped) == (2, True, False)


def test_where_no_iteration_can_be_saved_the_signal_keeps_its_effect(config: Make) -> None:
    def refuse(number: int, frame: Any) -> None:
        raise tiny_run.Interrupted

    usual = signal.signal(signal.SIGTERM, refuse)
    try:
        runner = tiny_run.train(
            config("run", epochs=True, steps=2, checkpoint=dict(by_epoch=True), custom_hooks=asked_at(2))
        )
    finally:
        signal.signal(signal.SIGTERM, usual)
    assert (runner.iter, tiny_run.hook(runner, "StopOnSignalHook").asked) == (1, False)
