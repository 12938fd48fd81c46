"""Epoch-based training that continues in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch.utils.data import DataLoader

from nda_mm.registry import LOOPS

from .exact_loop import ExactLoop


@LOOPS.register_module()
class ExactEpochLoop(ExactLoop, EpochBasedTrainLoop):
    """mmengine's epoch-based loop, continued to the same weights, bit for bit, after any interruption.

    As :class:`~nda_mm.engine.iter_loop.ExactIterLoop`, by epochs. A run resumed from a checkpoint of the middle of an
    epoch (``SafeCheckpointHook(by_epoch=False)``) trains the epoch's remaining batches, where mmengine 0.10's loop
    trains the whole epoch again. The hooks' ``before_train_epoch`` is called once more for that epoch.

    Args:
        runner: The Runner.
        dataloader: A config, or a loader with a map-style data set.
        max_epochs: Total epochs to train, > 0.
        val_begin: The first epoch that may validate. Defaults to 1.
        val_interval: Epochs between validations. Defaults to 1.
        dynamic_intervals: Pairs (epoch, ``val_interval`` from there on). Defaults to None.

    Raises:
        ValueError: If ``max_epochs`` is no whole number above 0, or the sampler never ends an epoch.
        TypeError: If the loader reads an iterable-style data set.

    Example:
        >>> train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=200, val_interval=10)
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_epochs: int,
        val_begin: int = 1,
        val_interval: int = 1,
        dynamic_intervals: list[tuple[int, int]] | None = None,
    ) -> None:
        if int(max_epochs) != max_epochs or max_epochs < 1:
            raise ValueError(f"max_epochs must be a whole number above 0, but got {max_epochs}.")
        loader = self._prepare(runner, dataloader)
        if isinstance(getattr(loader.batch_sampler, "sampler", None), InfiniteSampler):
            raise ValueError(
                "An epoch of InfiniteSampler never ends. Use sampler=dict(type='DefaultSampler', shuffle=True), or "
                "train by iterations with train_cfg=dict(type='nda_mm.ExactIterLoop', max_iters=...)."
            )
        super().__init__(runner, loader, int(max_epochs), val_begin, val_interval, dynamic_intervals)

    def run(self) -> torch.nn.Module:
        """Train until ``max_epochs``.

        Returns:
            The trained model.
        """
        self._take_seed()
        self._call_hook("before_train")
        self._begin()
        if self._batch == 0:
            self._validate_if_due()
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due()
        self._call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the epoch's batches, from the place of a resumed run on."""
        self._call_hook("before_train_epoch")
        self.runner.model.train()
        self._pass = self._epoch
        self._batch_sampler.start(self._epoch, self._batch)
        for number, data_batch in enumerate(self.dataloader, start=self._batch):
            self.run_iter(number, data_batch)
        # From here on, a checkpoint is one of the next epoch's start.
        self._pass, self._batch = self._epoch + 1, 0
        self._call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train on one batch.

        Args:
            idx: The batch's number in its epoch.
            data_batch: What the loader gave.
        """
        self._call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self._batch = idx + 1
        self._validated = False
        self._call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _validate_if_due(self) -> None:
        if self._epoch == 0 or self._validated:
            return
        self._decide_current_val_interval()
        due = self._epoch % self.val_interval == 0 or self._epoch == self._max_epochs
        if self.runner.val_loop is not None and self._epoch >= self.val_begin and due:
            self._validate()

    def _find_place(self) -> None:
        self._pass, self._batch = self._epoch, max(self._iter - self._epoch * len(self.dataloader), 0)
