"""What the two exact training loops share: their place in the data, and the training's own random numbers."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.dist import get_dist_info
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nda_mm.utils.random_state import RandomState, isolated_rng, mix, seed_global_generators

from .data_stream import PlacedBatchSampler, build_exact_dataloader
from .training_state import load_rank_state

# What a seed is for is mixed into it, so that no two uses share a stream; data_stream.py uses smaller numbers.
_TRAINING, _ASIDE = 16, 17


class ExactLoop:
    """Mixed into a training loop of mmengine.

    Three things keep a run exact. Every sample is a function of its place (see :mod:`nda_mm.engine.data_stream`). Only
    ``train_step`` draws from the training's random numbers: hooks and validation draw from numbers of their own, made
    from the seed, the iteration and the stage. And what must be remembered is asked for by
    :class:`~nda_mm.engine.safe_checkpoint_hook.SafeCheckpointHook` and given back at the start of :meth:`run`.
    """

    runner: Runner
    dataloader: DataLoader
    _iter: int

    def _prepare(self, runner: Runner, dataloader: DataLoader | dict[str, Any]) -> DataLoader:
        """Build the loader; called before the loop's own constructor, which asks for one."""
        self._rank, self._world_size = get_dist_info()
        # With ``diff_rank_seed`` mmengine adds the rank to the seed. Without, the ranks are meant to draw alike.
        self._drawing_rank = self._rank if runner._randomness_cfg.get("diff_rank_seed", False) else 0
        self._seed = runner.seed - self._drawing_rank
        self._pass = 0
        self._batch = 0
        self._validated = False
        self._outer_state: Callable[[], RandomState] | None = None  # while hooks and validation draw
        self._loaded_state: dict[str, Any] | None = None
        return build_exact_dataloader(runner, dataloader, self._seed, self._rank)

    @property
    def _batch_sampler(self) -> PlacedBatchSampler:
        return self.dataloader.batch_sampler  # type: ignore[return-value]

    def exact_state(self) -> dict[str, Any]:
        """Where the run is, the same on every rank: seeds, place in the data, whether this place was validated."""
        return {
            "version": 1,
            "loop": type(self).__name__,
            "seed": self._seed,
            "sampler_seed": self._batch_sampler.sampler_seed,
            "batch_size": getattr(self._batch_sampler, "batch_size", None),
            "pass": self._pass,
            "batch": self._batch,
            "validated": self._validated,
        }

    def random_state(self) -> RandomState:
        """The training's random state, also while a hook runs."""
        return self._outer_state() if self._outer_state is not None else RandomState.capture()

    def load_exact_state(self, state: dict[str, Any]) -> None:
        """Take what a checkpoint remembers; put to use by :meth:`run`, and only if the run was resumed from it."""
        self._loaded_state = state

    @contextmanager
    def _aside(self, stage: str) -> Iterator[None]:
        """Inside, random numbers are the stage's own; afterwards the training's go on where they were."""
        if self._outer_state is not None:
            yield
            return
        stage_number = zlib.crc32(stage.encode())
        with isolated_rng(mix(self._seed, _ASIDE, self._drawing_rank, self._iter, stage_number)) as self._outer_state:
            try:
                yield
            finally:
                self._outer_state = None

    def _call_hook(self, stage: str, **kwargs: Any) -> None:
        with self._aside(stage):
            self.runner.call_hook(stage, **kwargs)

    def _validate(self) -> None:
        self._validated = True
        with self._aside("val"):
            self.runner.val_loop.run()

    def _take_seed(self) -> None:
        """Let a resumed run draw from its checkpoint's seed, before the first hook is called."""
        if self._iter > 0 and self._loaded_state is not None:
            self._seed = self._batch_sampler.seed = self._loaded_state["seed"]

    def _begin(self) -> None:
        """Set the random numbers and the place: afresh, or as remembered."""
        state, self._loaded_state = self._loaded_state, None
        # The start depends on the seed alone, not on what building the parts of this run has drawn.
        seed_global_generators(mix(self._seed, _TRAINING, self._drawing_rank, self._iter))
        if self._iter == 0:
            return
        if state is None or state["loop"] != type(self).__name__:
            self._say(
                f"The checkpoint of iteration {self._iter} was not written by SafeCheckpointHook under "
                f"{type(self).__name__}. Weights, optimizers and schedules continue; the random numbers and the order "
                "of the data start anew, so the run will differ from one that was never stopped."
            )
            self._find_place()
            return
        self._batch_sampler.sampler_seed = state["sampler_seed"]
        self._pass, self._batch, self._validated = state["pass"], state["batch"], state["validated"]
        batch_size = getattr(self._batch_sampler, "batch_size", None)
        if state["world_size"] != self._world_size or state["batch_size"] != batch_size:
            self._say(
                f"The checkpoint was written by {state['world_size']} process(es) with batch size "
                f"{state['batch_size']}; this run has {self._world_size} with {batch_size}. Weights, optimizers and "
                f"schedules continue, and the data from batch {self._batch} of pass {self._pass}, but the states that "
                "each process kept (random numbers, gradients waiting for their step) cannot be divided anew: the run "
                "will differ from one that was never stopped."
            )
            return
        own = state["ranks"][self._rank]
        load_rank_state(self.runner, own)
        RandomState.unpack(own["random"]).restore()

    def _find_place(self) -> None:
        """Where the data stands after ``_iter`` batches, for want of a record of it."""
        self._pass, self._batch = divmod(self._iter, max(len(self.dataloader), 1))

    def _say(self, message: str) -> None:
        self.runner.logger.log(logging.WARNING, message)
