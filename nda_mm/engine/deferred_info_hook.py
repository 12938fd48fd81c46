"""Brings the logged terms of training to the host in bundles, so that it need not wait for the device each time."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from mmengine.hooks import CheckpointHook, LoggerHook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import Tensor

from nda_mm.registry import HOOKS

__all__ = ["DeferredInfoHook"]


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """mmengine's ``RuntimeInfoHook`` without its two costs; the log and the checkpoints say the same.

    The host's hook fetches every term of every iteration by itself. Each fetch waits until the device has done all that
    it was told, so the host can never prepare the next step while the device works on this one. And it appends to a
    history of up to a million values by copying it: over the 390,000 iterations of a CIFAR-10 BigGAN that is more than
    an hour. Here terms wait on the device and come in one transfer, every ``interval`` iterations and whenever somebody
    is about to look (a log line, a checkpoint, a validation, the last iteration); histories are bounded.

    Args:
        interval: Iterations between transfers, >= 1. Defaults to 10.
        history: Values kept of each term, >= 1; a smoothing window of the log processor must not be longer. Defaults to
            10,000.

    Raises:
        ValueError: If a number is below 1.

    Example:
        In a recipe::

            default_hooks = dict(runtime_info=dict(type="nda_mm.DeferredInfoHook"))
    """

    def __init__(self, interval: int = 10, history: int = 10_000) -> None:
        super().__init__()
        if interval < 1 or history < 1:
            raise ValueError(f"interval and history must be at least 1, but got {interval} and {history}")
        self.interval = interval
        self.history = history
        self._waiting: list[dict[str, Any]] = []
        self._intervals = {interval}

    @property
    def waiting(self) -> int:
        """Iterations whose terms are still on the device."""
        return len(self._waiting)

    def before_train(self, runner: Runner) -> None:
        """Learn when somebody will look."""
        super().before_train(runner)
        lookers = [hook.interval for hook in runner.hooks if isinstance(hook, (LoggerHook, CheckpointHook))]
        lookers.append(getattr(runner.train_loop, "val_interval", 0))
        self._intervals = {self.interval, *(int(each) for each in lookers if each and each > 0)}
        self._bound_histories(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Put the terms aside, and bring all that wait if it is time.

        Args:
            runner: The Runner.
            batch_idx: The batch's number; not used.
            data_batch: The batch; not used.
            outputs: The terms that the model reports.
        """
        if outputs:
            self._waiting.append(
                {name: term.detach() if isinstance(term, Tensor) else term for name, term in outputs.items()}
            )
        due = any(self.every_n_train_iters(runner, each) for each in self._intervals)
        if due or self.is_last_train_iter(runner) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._bring(runner)

    def before_val(self, runner: Runner) -> None:
        """Bring what waits."""
        self._bring(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Bring what waits, also into a checkpoint that nobody could foresee."""
        if self._waiting:
            self._bring(runner)
            checkpoint["message_hub"] = runner.message_hub.state_dict()

    def after_train(self, runner: Runner) -> None:
        """Bring what waits."""
        self._bring(runner)
        super().after_train(runner)

    def _bring(self, runner: Runner) -> None:
        bundle, self._waiting = self._waiting, []
        for name, value in _on_host([pair for outputs in bundle for pair in outputs.items()]):
            runner.message_hub.update_scalar(f"train/{name}", value)
        self._bound_histories(runner)

    def _bound_histories(self, runner: Runner) -> None:
        """Give every history of the training its bound; mmengine makes them a million long."""
        histories = runner.message_hub.log_scalars
        for name, kept in histories.items():
            if kept.max_length > self.history:
                values, counts = (each[-self.history :] for each in kept.data)
                histories[name] = HistoryBuffer(values, counts, max_length=self.history)


def _on_host(terms: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The terms as numbers, with one transfer for each device and type of tensor."""
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = defaultdict(list)
    for place, (_, term) in enumerate(terms):
        if isinstance(term, Tensor):
            groups[term.device, term.dtype].append(place)
    values = [term for _, term in terms]
    for places in groups.values():
        numbers = torch.stack([values[place].reshape(()) for place in places]).tolist()
        for place, number in zip(places, numbers, strict=True):
            values[place] = number
    return [(name, value) for (name, _), value in zip(terms, values, strict=True)]
