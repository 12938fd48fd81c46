"""A data loader whose every sample is a function of its place in the stream, and that can start anywhere in it.

mmengine's loaders seed each *worker*, so a sample's augmentation depends on the number of workers and on what the
worker did before; a resumed run cannot reproduce it without reading everything again. Here each sample is seeded by
``(seed, rank, pass, batch, slot)`` instead: the place is enough to make it again, whichever process does it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, NamedTuple

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler, default_collate, pseudo_collate
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from nda_mm.utils.random_state import RandomState, isolated_rng, mix, seed_global_generators

# What a seed is for is mixed into it, so that no two uses share a stream.
_SAMPLE, _COLLATE, _SAMPLER, _WORKER = range(4)
#: These draw from a generator of their own and need no protection from (or of) the global ones.
_SELF_SEEDED = (DefaultSampler, InfiniteSampler)


class Place(NamedTuple):
    """Which sample to read, and the seed of its random augmentation."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a place for
    seed: int


class _SeededBatch(list):
    """The samples of one batch, with the seed for whatever the collate function draws."""

    seed: int


class SeededDataset(Dataset):
    """A data set read by :class:`Place`; in everything else (``metainfo``, ``get_data_info``, ...) the one it wraps.

    Args:
        dataset: Any map-style data set.
    """

    def __init__(self, dataset: Any) -> None:
        self._inner = dataset

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not found here. Names of our own and dunders are asked for while unpickling.
        if name.startswith("__") or name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __getitem__(self, place: Any) -> Any:
        return self.__getitems__([place])[0] if isinstance(place, Place) else self._inner[place]

    def __getitems__(self, places: Sequence[Place]) -> list[Any]:
        """Read one batch. A worker process is ours alone; in the main process the training's random state is kept."""
        with isolated_rng() if get_worker_info() is None else nullcontext():
            samples = _SeededBatch(self._read(places))
        samples.seed = mix(places[0].seed, _COLLATE)
        return samples

    def _read(self, places: Sequence[Place]) -> Iterator[Any]:
        if hasattr(self._inner, "__getitems__"):
            seed_global_generators(places[0].seed)
            yield from self._inner.__getitems__([place.index for place in places])
            return
        for place in places:
            seed_global_generators(place.seed)
            yield self._inner[place.index]


class _SeededCollate:
    """Runs a collate function under the batch's own seed (some mix samples at random)."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, samples: _SeededBatch) -> Any:
        if getattr(self.collate, "func", self.collate) in (pseudo_collate, default_collate):  # these draw nothing
            return self.collate(list(samples))
        with isolated_rng(samples.seed):
            return self.collate(list(samples))


class PlacedBatchSampler:
    """A batch sampler whose batches know their places, and that can skip batches without reading any data.

    Args:
        batch_sampler: The batch sampler to follow.
        seed: The run's seed, the same on every rank.
        rank: This process's rank, which makes the samples' seeds differ between ranks.
    """

    def __init__(self, batch_sampler: Any, seed: int, rank: int) -> None:
        self.batch_sampler = batch_sampler
        self.seed = seed
        self.rank = rank
        self._pass = 0
        self._skip = 0

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __getattr__(self, name: str) -> Any:
        # ``sampler``, ``batch_size``, ``drop_last``: hooks of mmengine look for them here.
        if name.startswith("__") or name == "batch_sampler":
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    @property
    def sampler_seed(self) -> int | None:
        """The seed that the sampler shuffles by, or None where it has none of its own."""
        seed = getattr(self._seed_owner, "seed", None)
        return seed if isinstance(seed, int) else None

    @sampler_seed.setter
    def sampler_seed(self, seed: int | None) -> None:
        if seed is not None:
            self._seed_owner.seed = seed

    @property
    def _seed_owner(self) -> Any:
        return getattr(self.batch_sampler, "sampler", self.batch_sampler)

    def start(self, pass_number: int, skip: int = 0) -> None:
        """Let the next iteration be pass ``pass_number`` over the data, without its first ``skip`` batches."""
        self._pass, self._skip = pass_number, skip
        for sampler in (self._seed_owner, self.batch_sampler):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(pass_number)
                break

    def __iter__(self) -> Iterator[list[Place]]:
        number, self._skip = self._skip, 0
        pass_number = self._pass
        for batch in self._batches(pass_number, number):
            seed = mix(self.seed, _SAMPLE, self.rank, pass_number, number)
            yield [Place(int(index), mix(seed, slot)) for slot, index in enumerate(batch)]
            number += 1

    def _batches(self, pass_number: int, skip: int) -> Iterator[list[int]]:
        if type(self._seed_owner) in _SELF_SEEDED:
            batches = iter(self.batch_sampler)
            deque(islice(batches, skip), maxlen=0)
            yield from batches
            return
        # A sampler that draws from the global generators gets a private state of them, swapped in for each draw: with
        # workers, the loader draws ahead, in the midst of training.
        kept = RandomState.capture()
        seed_global_generators(mix(self.seed, _SAMPLER, pass_number))
        batches = iter(self.batch_sampler)
        deque(islice(batches, skip), maxlen=0)
        while True:
            batch = next(batches, None)
            private = RandomState.capture()
            kept.restore()
            if batch is None:
                return
            yield batch
            kept = RandomState.capture()
            private.restore()


def build_exact_dataloader(runner: Any, dataloader: DataLoader | dict[str, Any], seed: int, rank: int) -> DataLoader:
    """Build a loader as mmengine's Runner does, with samples seeded by place.

    Args:
        runner: The Runner, for its way of building a loader from a config.
        dataloader: A config, or a loader that is already built (its data set and batch sampler are used).
        seed: The run's seed, the same on every rank.
        rank: This process's rank.

    Returns:
        A new loader; building and iterating it draws nothing from the global generators.

    Raises:
        TypeError: If the loader has no batch sampler or reads an iterable-style data set, which have no places.
    """
    loader = dataloader
    if isinstance(dataloader, dict):
        diff_rank_seed = runner._randomness_cfg.get("diff_rank_seed", False)
        loader = runner.build_dataloader(dataloader, seed=runner.seed, diff_rank_seed=diff_rank_seed)
    assert isinstance(loader, DataLoader)
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise TypeError(
            f"The exact training loops need a map-style data set and batches made by the loader, but got "
            f"{type(loader.dataset).__name__} with batch_size={loader.batch_size}: its samples have no place "
            "to continue from. Give the data set __getitem__ and __len__, and the loader a batch_size; or use "
            "mmengine's own loops, whose resumed runs are not exact."
        )
    workers = loader.num_workers
    return DataLoader(
        SeededDataset(loader.dataset),
        batch_sampler=PlacedBatchSampler(loader.batch_sampler, seed, rank),  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_SeededCollate(loader.collate_fn),  # type: ignore[arg-type]
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=torch.Generator().manual_seed(mix(seed, _WORKER, rank)),
        prefetch_factor=loader.prefetch_factor if workers > 0 else None,
        persistent_workers=loader.persistent_workers,
    )


class BatchStream:
    """An endless stream of batches: pass after pass over a loader, from any place on.

    Args:
        dataloader: From :func:`build_exact_dataloader`.
        pass_number: The pass to start in.
        batch: How many of its batches were consumed already.
    """

    def __init__(self, dataloader: DataLoader, pass_number: int = 0, batch: int = 0) -> None:
        self.dataloader = dataloader
        self.pass_number = pass_number
        self.batch = batch
        self._iterator = self._start()

    def __iter__(self) -> BatchStream:
        return self

    def __next__(self) -> Any:
        data = next(self._iterator, None)
        if data is None:
            if self.batch == 0:
                raise ValueError(
                    f"The training loader gave no batch: {len(self.dataloader.dataset)} samples "  # type: ignore[arg-type]
                    "do not fill one. Lower batch_size, or set drop_last=False."
                )
            self.pass_number, self.batch = self.pass_number + 1, 0
            self._iterator = self._start()
            return next(self)
        self.batch += 1
        return data

    def _start(self) -> Iterator[Any]:
        self.dataloader.batch_sampler.start(self.pass_number, self.batch)  # type: ignore[union-attr]
        return iter(self.dataloader)
