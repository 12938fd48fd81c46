"""Training loops that resume exactly: an interrupted run ends with the weights of an uninterrupted one."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from mmengine.runner.base_loop import BaseLoop
from mmengine.runner.utils import calc_dynamic_intervals
from torch.utils.data import DataLoader

from nda_mm.registry import LOOPS
from nda_mm.utils.random_state import RandomState, isolated_rng, mix, seed_global_generators

from .data_stream import BatchStream, SeededBatchSampler, build_exact_dataloader
from .device_data import DeviceLoader
from .resume import count_steps_on_host, load_rank_state, model_of, shared_seed

# Each use of a seed mixes in a different number; data_stream.py defines the smaller ones.
_TRAINING, _HOOKS = 16, 17


class ResumableLoop:
    """Mixin that makes a training loop of mmengine resumable.

    - Each sample depends only on its position in the data (see :mod:`nda_mm.engine.data_stream`).
    - Only ``train_step`` draws from the training RNG state. Hooks and validation draw from separate streams,
      seeded with the run's seed, the iteration and the stage.
    - :class:`~nda_mm.engine.SafeCheckpointHook` saves the position and the RNG state; :meth:`run` restores them.
    """

    runner: Runner
    dataloader: DataLoader
    val_begin: int
    val_interval: int
    _iter: int

    def _prepare(self, runner: Runner, dataloader: DataLoader | dict[str, Any]) -> DataLoader:
        """Initialize the state of the mixin and build the loader for the loop's constructor."""
        self._rank, self._world_size = get_dist_info()
        self._seed = shared_seed(runner)
        self._rank_in_seed = runner.seed - self._seed  # 0 if all ranks draw the same numbers
        self._pass = 0
        self._batch = 0
        self._validated = False
        self._outer_state: Callable[[], RandomState] | None = None  # set while hooks or validation run
        self._loaded_state: dict[str, Any] | None = None
        return build_exact_dataloader(runner, dataloader, self._seed, self._rank)

    @property
    def _batch_sampler(self) -> SeededBatchSampler:
        return self.dataloader.batch_sampler  # type: ignore[return-value]

    @property
    def _batch_size(self) -> int | None:
        return getattr(self._batch_sampler, "batch_size", None)  # custom batch samplers may not have one

    def exact_state(self) -> dict[str, Any]:
        """Return the seeds, the position in the data and whether it was validated; the same on every rank."""
        return {
            "version": 1,
            "loop": type(self).__name__,
            "seed": self._seed,
            "sampler_seed": self._batch_sampler.sampler_seed,
            "batch_size": self._batch_size,
            "pass": self._pass,
            "batch": self._batch,
            "validated": self._validated,
        }

    def random_state(self) -> RandomState:
        """Return the training RNG state, also when called inside a hook."""
        return self._outer_state() if self._outer_state is not None else RandomState.capture()

    def load_exact_state(self, state: dict[str, Any]) -> None:
        """Store the state of a checkpoint for :meth:`run`, which uses it if the run is resumed."""
        self._loaded_state = state

    def _start(self, *stages: str) -> None:
        """Call the first hooks, then initialize the RNG state and position, or restore them from the checkpoint."""
        state, self._loaded_state = self._loaded_state, None
        resumed = self._iter > 0
        if resumed and state is not None:
            self._seed = self._batch_sampler.seed = state["seed"]
        for stage in stages:
            self._call_hook(stage)
        # Numbers drawn while the run was built must not matter, so seed again from the run's seed.
        seed_global_generators(mix(self._seed, _TRAINING, self._rank_in_seed, self._iter))
        if resumed:
            count_steps_on_host(self.runner)
            self._restore(state)

    def _restore(self, state: dict[str, Any] | None) -> None:
        if state is None or state["loop"] != type(self).__name__:
            self.runner.logger.warning(
                f"The checkpoint of iteration {self._iter} was not written by SafeCheckpointHook under "
                f"{type(self).__name__}. Weights, optimizers and schedules are restored, but RNG state and data order "
                "are not, so the result will differ from that of an uninterrupted run."
            )
            self._pass, self._batch = self._position()
            return
        # The position in the data is valid for any number of processes, a rank's state only for the same number.
        self._batch_sampler.sampler_seed = state["sampler_seed"]
        self._pass, self._batch, self._validated = state["pass"], state["batch"], state["validated"]
        if (state["world_size"], state["batch_size"]) != (self._world_size, self._batch_size):
            self.runner.logger.warning(
                f"The checkpoint was written by {state['world_size']} process(es) with batch size "
                f"{state['batch_size']}; this run has {self._world_size} with {self._batch_size}. Weights, optimizers "
                f"and schedules are restored, and the data continues at batch {self._batch} of pass {self._pass}; RNG "
                "states and accumulated gradients are lost, so the result will differ from an uninterrupted run's."
            )
            return
        own = state["ranks"][self._rank]
        load_rank_state(self.runner, own)
        RandomState.unpack(own["random"]).restore()

    def _position(self) -> tuple[int, int]:
        """Return the pass and batch after ``_iter`` iterations, for a checkpoint that does not store them."""
        raise NotImplementedError

    @contextmanager
    def _isolated(self, stage: str) -> Iterator[None]:
        """Use a separate RNG stream for the stage, and restore the training RNG state afterwards."""
        if self._outer_state is not None:
            yield
            return
        seed = mix(self._seed, _HOOKS, self._rank_in_seed, self._iter, zlib.crc32(stage.encode()))
        with isolated_rng(seed) as self._outer_state:
            try:
                yield
            finally:
                self._outer_state = None

    def _call_hook(self, stage: str, **kwargs: Any) -> None:
        with self._isolated(stage):
            self.runner.call_hook(stage, **kwargs)

    def _train_batch(self, number: int, data_batch: Sequence[dict], next_position: tuple[int, int]) -> None:
        self._call_hook("before_train_iter", batch_idx=number, data_batch=data_batch)
        outputs = self.runner.model.train_step(data_batch, optim_wrapper=self.runner.optim_wrapper)
        self._pass, self._batch = next_position  # stored by any checkpoint written from here on
        self._validated = False
        self._call_hook("after_train_iter", batch_idx=number, data_batch=data_batch, outputs=outputs)
        self._iter += 1

    def _validate_if_due(self, done: int, total: int) -> None:
        if done == 0 or self._validated or self.runner.val_loop is None:
            return
        self._decide_current_val_interval()  # type: ignore[attr-defined]
        if done >= self.val_begin and (done % self.val_interval == 0 or done == total):
            self._validated = True
            with self._isolated("val"):
                self.runner.val_loop.run()
            self.runner.model.train()


@LOOPS.register_module()
class ExactIterLoop(ResumableLoop, IterBasedTrainLoop):
    """mmengine's iteration-based loop, made resumable: an interrupted run ends with the same weights, bit for bit.

    Use it with :class:`~nda_mm.engine.SafeCheckpointHook`, which saves the state that this loop restores. Resuming is
    exact on one machine with the same software, the same number of processes and deterministic operations.

    Differences from mmengine 0.10's ``IterBasedTrainLoop``:

    - Resuming skips to the position in the sampler without reading data again.
    - A sample's augmentation depends only on its position, not on the number of workers.
    - Hooks and validation do not change the training RNG state: a run with validation equals one without.
    - A checkpoint written before the validation of its iteration is validated when resumed.

    Args:
        runner: The Runner.
        dataloader: A config, or a loader with a map-style data set.
        max_iters: Number of iterations to train, at least 1.
        val_begin: First iteration that may be validated. Defaults to 1.
        val_interval: Iterations between validations. Defaults to 1000.
        dynamic_intervals: Pairs of an iteration and the ``val_interval`` to use from it on. Defaults to None.
        data_on_device: Whether to keep the data set on the model's device, for small images without random transforms;
            see :class:`~nda_mm.engine.device_data.DeviceLoader`. The batches are the same. Requires a preprocessor that
            takes stacked samples, such as ``nda_mm.BatchDataPreprocessor``. Defaults to False.

    Raises:
        ValueError: If ``max_iters`` is not a positive integer, or the data or the preprocessor do not support
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
        # The parent's constructor would start the workers and the sampler before the checkpoint's seed is known.
        loader = self._prepare(runner, dataloader)
        BaseLoop.__init__(self, runner, _on_device(runner, loader) if data_on_device else loader)
        self._max_iters = _whole("max_iters", max_iters)
        self._max_epochs = 1
        self._epoch = 0
        self._iter = 0
        self.val_begin = val_begin
        self.val_interval = val_interval
        self.stop_training = False
        self.dataloader_iterator: Any = None  # a BatchStream during training
        if hasattr(self.dataloader.dataset, "metainfo"):
            runner.visualizer.dataset_meta = self.dataloader.dataset.metainfo
        self.dynamic_milestones, self.dynamic_intervals = calc_dynamic_intervals(val_interval, dynamic_intervals)

    def run(self) -> torch.nn.Module:
        """Train until ``max_iters`` and return the model."""
        self._start("before_train", "before_train_epoch")
        self._validate_if_due(self._iter, self._max_iters)
        if self._iter < self._max_iters:
            self.dataloader_iterator = BatchStream(self.dataloader, self._pass, self._batch)
        self.runner.model.train()
        while self._iter < self._max_iters and not self.stop_training:
            self.run_iter(next(self.dataloader_iterator))
            if not self.stop_training:  # else the resumed run validates
                self._validate_if_due(self._iter, self._max_iters)
        self.dataloader_iterator = None  # stops the loader's workers
        self._call_hook("after_train_epoch")
        self._call_hook("after_train")
        return self.runner.model

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Train on one batch."""
        stream = self.dataloader_iterator
        self._train_batch(self._iter, data_batch, next_position=(stream.pass_number, stream.batch))

    def _position(self) -> tuple[int, int]:
        if isinstance(getattr(self._batch_sampler, "sampler", None), InfiniteSampler):
            return 0, self._iter  # a single endless pass
        return divmod(self._iter, max(len(self.dataloader), 1))


@LOOPS.register_module()
class ExactEpochLoop(ResumableLoop, EpochBasedTrainLoop):
    """mmengine's epoch-based loop, made resumable: an interrupted run ends with the same weights, bit for bit.

    Like :class:`ExactIterLoop`, but by epoch. A run resumed in the middle of an epoch
    (``SafeCheckpointHook(by_epoch=False)``) trains the remaining batches, whereas mmengine 0.10's loop trains the whole
    epoch again. The hooks' ``before_train_epoch`` is called once more for that epoch.

    Args:
        runner: The Runner.
        dataloader: A config, or a loader with a map-style data set.
        max_epochs: Number of epochs to train, at least 1.
        **settings: Other arguments of mmengine's ``EpochBasedTrainLoop``: ``val_begin`` (defaults to 1),
            ``val_interval`` (1), ``dynamic_intervals`` (None).

    Raises:
        ValueError: If ``max_epochs`` is not a positive integer, or the sampler never ends an epoch.
        TypeError: If the loader reads an iterable-style data set.

    Example:
        >>> train_cfg = dict(type="nda_mm.ExactEpochLoop", max_epochs=200, val_interval=10)
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: DataLoader | dict[str, Any],
        max_epochs: int,
        **settings: Any,
    ) -> None:
        loader = self._prepare(runner, dataloader)
        if isinstance(getattr(loader.batch_sampler, "sampler", None), InfiniteSampler):
            raise ValueError(
                "ExactEpochLoop needs a sampler that ends, but got InfiniteSampler. Use "
                "sampler=dict(type='DefaultSampler', shuffle=True), or train by iterations with "
                "train_cfg=dict(type='nda_mm.ExactIterLoop', max_iters=...)."
            )
        super().__init__(runner, loader, _whole("max_epochs", max_epochs), **settings)

    def run(self) -> torch.nn.Module:
        """Train until ``max_epochs`` and return the model."""
        self._start("before_train")
        if self._batch == 0:
            self._validate_if_due(self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due(self._epoch, self._max_epochs)
        self._call_hook("after_train")
        return self.runner.model

    def run_epoch(self) -> None:
        """Train on the batches of the epoch, or on the remaining ones in a resumed run."""
        self._call_hook("before_train_epoch")
        self.runner.model.train()
        self._batch_sampler.start(self._epoch, self._batch)
        for number, data_batch in enumerate(self.dataloader, start=self._batch):
            self.run_iter(number, data_batch)
        self._pass, self._batch = self._epoch + 1, 0  # a checkpoint of the epoch's end continues with the next
        self._call_hook("after_train_epoch")
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train on batch ``idx`` of the epoch."""
        self._train_batch(idx, data_batch, (self._epoch, idx + 1))

    def _position(self) -> tuple[int, int]:
        return self._epoch, max(self._iter - self._epoch * len(self.dataloader), 0)


def _whole(name: str, value: float) -> int:
    if int(value) != value or value < 1:
        raise ValueError(f"{name} must be a positive integer, but got {value}.")
    return int(value)


def _on_device(runner: Runner, loader: DataLoader) -> DataLoader:
    """Return a loader that keeps the data on the model's device."""
    model = model_of(runner)
    preprocessor = getattr(model, "data_preprocessor", None)
    if not getattr(preprocessor, "takes_stacked_samples", False):
        raise ValueError(
            "data_on_device needs a data_preprocessor that takes stacked batches, but got "
            f"{type(preprocessor).__name__}. Use data_preprocessor=dict(type='nda_mm.BatchDataPreprocessor', ...), or "
            "set data_on_device=False."
        )
    return DeviceLoader(loader, lambda: next(model.parameters()).device)  # type: ignore[return-value]
