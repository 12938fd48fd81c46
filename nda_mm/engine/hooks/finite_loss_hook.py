"""A hook that stops a run whose loss is no longer finite, before it overwrites a good checkpoint."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from nda_mm.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training at the first logged value that is infinite or NaN, and report its name and iteration.

    The hook does not synchronize with the device. It reads the message hub, to which mmengine's ``RuntimeInfoHook``
    (every iteration) or :class:`~nda_mm.engine.DeferredInfoHook` (in bundles) has written the values. It runs after
    these hooks and before any checkpoint is written.

    Args:
        ignore: Names of logged values that may be infinite or NaN. Defaults to ().

    Raises:
        FloatingPointError: During training, if a value is not finite.

    Example:
        >>> custom_hooks = [dict(type="nda_mm.FiniteLossHook")]
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, ignore: tuple[str, ...] | list[str] = ()) -> None:
        self.ignore = frozenset(ignore)
        self._unread: list[tuple[int, dict[str, Any]]] = []  # iterations and the model's outputs

    def before_train(self, runner: Runner) -> None:
        """Discard the values of an earlier run."""
        self._unread = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Check all values that have been transferred.

        Args:
            runner: The Runner.
            batch_idx: Not used.
            data_batch: Not used.
            outputs: Outputs of the model's ``train_step``.
        """
        self._unread.append((runner.iter + 1, outputs or {}))
        self._read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Check the values that DeferredInfoHook has transferred for this checkpoint."""
        self._read(runner)

    def _read(self, runner: Runner) -> None:
        if any(getattr(hook, "waiting", 0) for hook in runner.hooks):
            return
        unread, self._unread = self._unread, []
        recorded = {
            name: list(record.data[0][-len(unread) :])
            for name in {name for _, outputs in unread for name in outputs}
            if (record := runner.message_hub.log_scalars.get(f"train/{name}")) is not None
        }
        # The newest value is the last of a record, so the iterations are read backwards.
        values = [
            {name: float(recorded[name].pop() if name in recorded else value) for name, value in outputs.items()}
            for _, outputs in reversed(unread)
        ]
        for (iteration, _), found in zip(unread, reversed(values), strict=True):
            self._check(runner, iteration, found)

    def _check(self, runner: Runner, iteration: int, values: dict[str, float]) -> None:
        wrong = [name for name, value in values.items() if name not in self.ignore and not math.isfinite(value)]
        if wrong:
            shown = ", ".join(f"{name} = {value}" for name, value in values.items())
            raise FloatingPointError(
                f"{', '.join(f'{name} is {values[name]}' for name in wrong)} at iteration {iteration}, rank "
                f"{runner.rank}. All values: {shown}. No checkpoint was written since. Resume from the last one with a "
                "lower learning rate, gradient clipping (optim_wrapper.clip_grad), or without --amp."
            )
