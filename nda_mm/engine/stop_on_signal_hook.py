"""Ending a run when the system asks for it, without losing what was trained."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from nda_mm.registry import HOOKS


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """On SIGTERM, saves a checkpoint after the present iteration and ends the training.

    Schedulers send it before the end of a job's time or when they need its place, containers when they are stopped,
    and ``kill`` by default. ``--resume`` then goes on where the run stopped, rather than at its last interval.
    ``tools/train.py`` has this hook in every run, and ends with the status 143, as a process does that the signal ends.

    It serves runs in one process whose checkpoints are saved by iteration. Elsewhere the signal keeps its usual effect:
    the run ends at once, and is resumed from the checkpoint of its last interval. A validation that is under way is
    finished first, unless it is training the classifier of a metric, which ends the run at once, too.

    Example:
        >>> custom_hooks = [dict(type="nda_mm.StopOnSignalHook")]
    """

    priority = "LOWEST"  # after the checkpoint hook, which may save this very iteration

    #: Exit status of a process that was stopped so.
    EXIT_STATUS = 128 + signal.SIGTERM

    def __init__(self) -> None:
        self.asked = False
        #: Whether the training ended before its length was reached.
        self.stopped = False
        self._checkpoints: CheckpointHook | None = None
        self._before: Any = None

    def before_train(self, runner: Runner) -> None:
        """Listen, where a checkpoint can be saved at any iteration."""
        saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch]
        if saving and get_world_size() == 1 and threading.current_thread() is threading.main_thread():
            self._checkpoints = saving[0]
            self._before = signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save and stop, if that was asked for and there is more to do."""
        if not self.asked or self.stopped or self.is_last_train_iter(runner):
            return
        assert self._checkpoints is not None
        runner.logger.info(f"Asked to stop: saving a checkpoint at {runner.iter + 1} iterations")
        self._checkpoints._save_checkpoint(runner)
        runner.train_loop.stop_training = True
        self.stopped = True

    def after_train(self, runner: Runner) -> None:
        """Listen no more."""
        if self._checkpoints is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._checkpoints = None
