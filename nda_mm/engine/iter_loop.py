"""Iteration-based training whose resumed run is the run that was never stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch.utils.data import DataLoader

from nda_mm.registry import LOOPS

from .data_stream import BatchStream
from .device_data import DeviceLoader
from .exact_loop import ExactLoop


@LOOPS.register_module()
class ExactIterLoop(ExactLoop, IterBasedTrainLoop):
    """mmengine's iteration-based loop, continued to the same weights, bit for bit, after any interruption.

    Used with :class:`~nda_mm.engine.safe_checkpoint_hook.SafeCheckpointHook`, which writes what this loop restores.
    Exact on one machine with the same software, the same number of processes and deterministic operations.

    Differs from mmengine 0.10's ``IterBasedTrainLoop`` thus:

    - Resuming skips to its place in the sampler, and reads no data again.
    - A sample's random augmentation depends on its place alone: not on the workers, nor on their number.
    - Hooks and validation don't touch the training's random numbers. A run with validation equals one without.
    - A checkpoint written before the validation of its own iteration is validated when resumed.

    Args:
        runner: The Runner.
        dataloader: A config, or a loader with a map-style data set.
        max_iters: Total iterations to train, > 0.
        val_begin: The first iteration that may validate. Defaults to 1.
        val_interval: Iterations between validations. Defaults to 1000.
        dynamic_intervals: Pairs (iteration, ``val_interval`` from there on). Defaults to None.
        data_on_device: Whether the data set is read once and kept on the model's device, for small images without
            random transforms in their pipeline (see :class:`~nda_mm.engine.device_data.DeviceLoader`); the batches are
            the same. The model's data preprocessor must take stacked samples, as ``nda_mm.BatchDataPreprocessor``
            does. Defaults to False.

    Raises:
        ValueError: If ``max_iters`` is no whole number above 0, or the data or the preprocessor don't allow
            ``data_on_device``.
        TypeError: If the loader reads an iterable-style data set.

    Example:
        >>> train_cfg = dict(type="nda_mm.ExactIterLoop", max_iters=10_000, val_interval=1_000)
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_iters: int,
        val_begin: int = 1,
        val_interval: int = 1000,
        dynamic_intervals: list[tuple[int, int]] | None = None,
        data_on_device: bool = False,
    ) -> None:
        if int(max_iters) != max_iters or max_iters < 1:
            raise ValueError(f"max_iters must be a whole number above 0, but got {max_iters}.")
        # The parent's constructor is left out: it would start the loader's workers, and the sampler, before the
        # checkpoint's seed is known.
        loader = self._prepare(runner, dataloader)
        BaseLoop.__init__(self, runner, _on_device(runner, loader) if data_on_device else loader)
        self._max_iters = int(max_iters)
        self._max_epochs = 1
        self._epoch = 0
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        self.dataloader_iterator: BatchStream | None = None
        if hasattr(self.dataloader.dataset, "metainfo"):
            runner.visualizer.dataset_meta = self.dataloader.dataset.metainfo
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)

    def run(self) -> torch.nn.Module:
        """Train until ``max_iters``.

        Returns:
            The trained model.
        """
        self._take_seed()
        self._call_hook("before_train")
        self._call_hook("before_train_epoch")
        self._begin()
        self._validate_if_due()
        if self._iter < self._max_iters:
            self.dataloader_iterator = BatchStream(self.dataloader, self._pass, self._batch)
        self.runner.model.train()
        while self._iter < self._max_iters and not self.stop_training:
            assert self.dataloader_iterator is not None
            self.run_iter(next(self.dataloader_iterator))
            if not self.stop_training:  # else the resumed run validates
                self._validate_if_due()
        self.dataloader_iterator = None  # ends the loader's workers
        self._call_hook("after_train_epoch")
        self._call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Train on one batch.

        Args:
            data_batch: What the loader gave.
        """
        self._call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        # From here on, a checkpoint is one of the next place.
        assert self.dataloader_iterator is not None
        self._pass, self._batch = self.dataloader_iterator.pass_number, self.dataloader_iterator.batch
        self._validated = False
        self._call_hook("after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _validate_if_due(self) -> None:
        if self._iter == 0 or self._validated:
            return
        self._decide_current_val_interval()
        due = self._iter % self.val_interval == 0 or self._iter == self._max_iters
        if self.runner.val_loop is not None and self._iter >= self.val_begin and due:
            self._validate()
            self.runner.model.train()

    def _find_place(self) -> None:
        if isinstance(getattr(self._batch_sampler, "sampler", None), InfiniteSampler):
            self._pass, self._batch = 0, self._iter  # one pass without an end
        else:
            super()._find_place()


def _on_device(runner: Runner, loader: DataLoader) -> DataLoader:
    """The loader's batches from the device's memory."""
    model = runner.model.module if is_model_wrapper(runner.model) else runner.model
    preprocessor = getattr(model, "data_preprocessor", None)
    if not getattr(preprocessor, "takes_stacked_samples", False):
        raise ValueError(
            f"data_on_device gives batches that are stacked already, which the model's {type(preprocessor).__name__} "
            "does not take; use data_preprocessor=dict(type='nda_mm.BatchDataPreprocessor', ...), or leave "
            "data_on_device out."
        )
    return DeviceLoader(loader, lambda: next(model.parameters()).device)  # type: ignore[return-value]
