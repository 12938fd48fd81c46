"""Stops a run whose loss is no longer a number, before it can overwrite a checkpoint that is."""

from __future__ import annotations

import math
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from nda_mm.registry import HOOKS


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop training at the first loss term that is infinite or not a number, naming the term and the iteration.

    It costs no wait for the device: mmengine's ``RuntimeInfoHook`` already brings every term to the host in every
    iteration, and this hook reads its record. It runs after that hook and before any checkpoint is written.

    Args:
        ignore: Names of terms that may be infinite, as they stand in the log. Defaults to none.

    Raises:
        FloatingPointError: In training, at a term that is not finite.

    Example:
        >>> custom_hooks = [dict(type="nda_mm.FiniteLossHook")]
    """

    priority = "ABOVE_NORMAL"

    def __init__(self, ignore: tuple[str, ...] | list[str] = ()) -> None:
        if isinstance(ignore, str):
            raise TypeError(f"ignore must be a list of names, but got the string {ignore!r}; write [{ignore!r}].")
        self.ignore = frozenset(ignore)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Look at every term of this iteration.

        Args:
            runner: The Runner.
            batch_idx: The batch's number; not used.
            data_batch: The batch; not used.
            outputs: The terms that the model reports.
        """
        values = {name: self._value(runner, name, term) for name, term in (outputs or {}).items()}
        wrong = [name for name, value in values.items() if name not in self.ignore and not math.isfinite(value)]
        if not wrong:
            return
        shown = ", ".join(f"{name} = {value}" for name, value in values.items())
        raise FloatingPointError(
            f"{', '.join(f'{name} is {values[name]}' for name in wrong)} at iteration {runner.iter + 1}, rank "
            f"{runner.rank}, so training has stopped. All terms: {shown}. No checkpoint of this iteration was written; "
            "resume from the last one with a lower learning rate, gradient clipping (optim_wrapper.clip_grad), or in "
            "full precision (without --amp)."
        )

    @staticmethod
    def _value(runner: Runner, name: str, term: Any) -> float:
        record = runner.message_hub.log_scalars.get(f"train/{name}")
        if record is None:  # without RuntimeInfoHook
            return float(term)
        return float(record.current())
