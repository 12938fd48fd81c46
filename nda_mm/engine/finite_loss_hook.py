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

    It costs no wait for the device: the hook that reports the terms brings them to the host anyway, mmengine's
    ``RuntimeInfoHook`` in every iteration and :class:`~nda_mm.engine.deferred_info_hook.DeferredInfoHook` in bundles,
    and this hook reads its record. It runs after that hook and before any checkpoint is written.

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
        self._unread: list[tuple[int, dict[str, Any]]] = []  # iterations, and the terms that they reported

    def before_train(self, runner: Runner) -> None:
        """Nothing is left of an earlier run."""
        self._unread = []

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict[str, Any] | None = None
    ) -> None:
        """Look at every term that has come to the host.

        Args:
            runner: The Runner.
            batch_idx: The batch's number; not used.
            data_batch: The batch; not used.
            outputs: The terms that the model reports.
        """
        self._unread.append((runner.iter + 1, outputs or {}))
        self._read(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Look at what has come to the host for a checkpoint's sake."""
        self._read(runner)

    def _read(self, runner: Runner) -> None:
        if any(getattr(hook, "waiting", 0) for hook in runner.hooks):
            return
        unread, self._unread = self._unread, []
        values = self._values(runner, unread)
        for (iteration, _), terms in zip(unread, values, strict=True):
            self._check(runner, iteration, terms)

    def _check(self, runner: Runner, iteration: int, values: dict[str, float]) -> None:
        wrong = [name for name, value in values.items() if name not in self.ignore and not math.isfinite(value)]
        if not wrong:
            return
        shown = ", ".join(f"{name} = {value}" for name, value in values.items())
        raise FloatingPointError(
            f"{', '.join(f'{name} is {values[name]}' for name in wrong)} at iteration {iteration}, rank "
            f"{runner.rank}, so training has stopped. All terms: {shown}. No checkpoint was written since; "
            "resume from the last one with a lower learning rate, gradient clipping (optim_wrapper.clip_grad), or in "
            "full precision (without --amp)."
        )

    @staticmethod
    def _values(runner: Runner, unread: list[tuple[int, dict[str, Any]]]) -> list[dict[str, float]]:
        """The terms of each iteration as numbers: from the record, whose last values they are, where there is one."""
        found: list[dict[str, float]] = [{} for _ in unread]
        for name in dict.fromkeys(name for _, terms in unread for name in terms):
            places = [place for place, (_, terms) in enumerate(unread) if name in terms]
            record = runner.message_hub.log_scalars.get(f"train/{name}")
            values = [unread[place][1][name] for place in places] if record is None else record.data[0][-len(places) :]
            for place, value in zip(places, values, strict=True):
                found[place][name] = float(value)
        return found
