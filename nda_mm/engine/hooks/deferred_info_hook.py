"""A hook that transfers logged values from the device in bundles, so that training need not wait for it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from mmengine.hooks import CheckpointHook, LoggerHook, RuntimeInfoHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import Runner
from torch import Tensor

from nda_mm.registry import HOOKS


@HOOKS.register_module()
class DeferredInfoHook(RuntimeInfoHook):
    """A faster version of mmengine's ``RuntimeInfoHook`` with the same log and checkpoints.

    mmengine's hook transfers every logged value of every iteration separately. Each transfer waits for the device, so
    the next step can't be prepared while the device works on the current one. The hook also appends to a history of up
    to a million values by copying it, which takes more than an hour in a run of 390,000 iterations. Here, values wait
    on the device and are transferred together every ``interval`` iterations, and before they are read (for a log line,
    a checkpoint, a validation or the last iteration). Histories are bounded.

    Args:
        interval: Iterations between transfers, >= 1. Defaults to 10.
        history: Number of values to keep per name, >= 1 and at least the log processor's smoothing window. Defaults to
            10,000.

    Example:
        In a recipe::

            default_hooks = dict(runtime_info=dict(type="nda_mm.DeferredInfoHook"))
    """

    def __init__(self, interval: int = 10, history: int = 10_000) -> None:
        super().__init__()
        self.interval = interval
        self.history = history
        self._waiting: list[dict[str, Any]] = []
        self._intervals = {interval}

    @property
    def waiting(self) -> int:
        """Number of iterations whose values are still on the device."""
        return len(self._waiting)

    def before_train(self, runner: Runner) -> None:
        """Collect the intervals of the hooks that read the values."""
        super().before_train(runner)
        readers = [hook.interval for hook in runner.hooks if isinstance(hook, (LoggerHook, CheckpointHook))]
        self._intervals = {self.interval, runner.val_interval, *map(int, readers)}
        self._bound_histories(runner)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Store the values, and transfer all waiting ones if a transfer is due.

        Args:
            runner: The Runner.
            batch_idx: Index of the batch.
            data_batch: Not used.
            outputs: Outputs of the model's ``train_step``.
        """
        if outputs:
            self._waiting.append(
                {name: value.detach() if isinstance(value, Tensor) else value for name, value in outputs.items()}
            )
        due = any(self.every_n_train_iters(runner, each) for each in self._intervals)
        if due or self.is_last_train_iter(runner) or self.end_of_epoch(runner.train_dataloader, batch_idx):
            self._transfer(runner)

    def before_val(self, runner: Runner) -> None:
        """Transfer the waiting values."""
        self._transfer(runner)
        super().before_val(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Transfer the waiting values, since a checkpoint may be saved at any iteration."""
        if self._waiting:
            self._transfer(runner)
            checkpoint["message_hub"] = runner.message_hub.state_dict()

    def after_train(self, runner: Runner) -> None:
        """Transfer the waiting values."""
        self._transfer(runner)
        super().after_train(runner)

    def _transfer(self, runner: Runner) -> None:
        bundle, self._waiting = self._waiting, []
        for name, value in _on_host([pair for outputs in bundle for pair in outputs.items()]):
            runner.message_hub.update_scalar(f"train/{name}", value)
        self._bound_histories(runner)

    def _bound_histories(self, runner: Runner) -> None:
        """Bound the length of all histories; mmengine allows a million values."""
        histories = runner.message_hub.log_scalars
        for name, kept in histories.items():
            if kept.max_length > self.history:
                values, counts = (each[-self.history :] for each in kept.data)
                histories[name] = HistoryBuffer(values, counts, max_length=self.history)


def _on_host(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return the values as numbers, with one transfer per device and dtype."""
    names, values = [name for name, _ in pairs], [value for _, value in pairs]
    groups: dict[tuple[torch.device, torch.dtype], list[int]] = defaultdict(list)
    for index, value in enumerate(values):
        if isinstance(value, Tensor):
            groups[value.device, value.dtype].append(index)
    for indices in groups.values():
        numbers = torch.stack([values[index].reshape(()) for index in indices]).tolist()
        for index, number in zip(indices, numbers, strict=True):
            values[index] = number
    return list(zip(names, values, strict=True))
