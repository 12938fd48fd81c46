"""A hook for preemption: it saves a checkpoint and ends the run on SIGTERM."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner

from nda_mm.registry import HOOKS
from nda_mm.utils.processes import on_sigterm


@HOOKS.register_module()
class StopOnSignalHook(Hook):
    """On SIGTERM, save a checkpoint after the current iteration and end the training.

    Clusters send SIGTERM before they preempt a job or at its time limit, containers receive it when they are stopped,
    and ``kill`` sends it by default. ``--resume`` then continues where the run stopped. ``tools/train.py`` adds this
    hook to every run, and exits with status 143, like a process terminated by the signal.

    The hook works in runs of one process that save checkpoints by iteration. In other runs, the signal ends the run at
    once, and it can only be resumed from the last checkpoint. A validation in progress is finished first, unless it is
    training the classifier of a metric, which also ends at once.

    Example:
        >>> custom_hooks = [dict(type="nda_mm.StopOnSignalHook")]
    """

    priority = "LOWEST"  # after the checkpoint hook, which may save this very iteration

    #: Exit status of a process that this hook has stopped.
    EXIT_STATUS = 128 + signal.SIGTERM

    def __init__(self) -> None:
        self.asked = False
        #: Whether the training was ended early.
        self.stopped = False
        self._checkpoints: CheckpointHook | None = None
        self._listening = ExitStack()

    def before_train(self, runner: Runner) -> None:
        """Listen for SIGTERM, if a checkpoint can be saved at any iteration."""
        saving = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook) and not hook.by_epoch]
        if saving and get_world_size() == 1:
            self._checkpoints = saving[0]
            self._listening.enter_context(on_sigterm(self._ask))

    def _ask(self) -> None:
        self.asked = True

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Save and stop, if SIGTERM was received and this is not the last iteration."""
        if not self.asked or self.stopped or self.is_last_train_iter(runner):
            return
        assert self._checkpoints is not None
        runner.logger.info(f"SIGTERM: saving a checkpoint at {runner.iter + 1} iterations")
        self._checkpoints._save_checkpoint(runner)
        runner.train_loop.stop_training = True
        self.stopped = True

    def after_train(self, runner: Runner) -> None:
        """Restore the previous handler of SIGTERM."""
        self._listening.close()
