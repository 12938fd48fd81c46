"""A data loader that can start at any position in its stream and yields the same samples from there on.

mmengine's loaders seed each *worker*, so a sample's augmentation depends on the number of workers and on what the
worker did before. A resumed run cannot reproduce it without reading everything again. Here, each sample has its own
seed, derived from ``(seed, rank, pass, batch, slot)``, which any process can recompute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any, NamedTuple

import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from nda_mm.utils.random_state import RandomState, isolated_rng, mix, seed_global_generators

# Each use of a seed mixes in a different number; loops.py defines the larger ones.
_SAMPLE, _SAMPLER, _WORKER = 0, 2, 3
#: Samplers that draw from a private generator; others may draw from the global ones.
_SELF_SEEDED = (DefaultSampler, InfiniteSampler)


class SeededIndex(NamedTuple):
    """The index of a sample and the seed of its random augmentation."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    seed: int


class Wrapper:
    """Base class that forwards length and attributes to the wrapped object, since mmengine's hooks read them.

    Args:
        inner: The object to wrap.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __len__(self) -> int:
        return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        # Unpickling asks for dunders and for _inner before they exist.
        if name.startswith("__") or name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)


class SeededDataset(Wrapper, Dataset):
    """Wrap a map-style data set so that it can be read by :class:`SeededIndex`."""

    def __getitem__(self, index: Any) -> Any:
        return self.__getitems__([index])[0] if isinstance(index, SeededIndex) else self._inner[index]

    def __getitems__(self, indices: Sequence[SeededIndex]) -> list[Any]:
        """Read one batch. In the main process, the training RNG state is preserved; a worker has none."""
        with isolated_rng() if get_worker_info() is None else nullcontext():
            return list(self._read(indices))

    def _read(self, indices: Sequence[SeededIndex]) -> Iterator[Any]:
        if hasattr(self._inner, "__getitems__"):
            seed_global_generators(indices[0].seed)
            yield from self._inner.__getitems__([index for index, _ in indices])
            return
        for index, seed in indices:
            seed_global_generators(seed)
            yield self._inner[index]


class SeededBatchSampler(Wrapper):
    """Wrap a batch sampler so that it yields seeded indices and can skip batches without reading data.

    Args:
        batch_sampler: The batch sampler to wrap.
        seed: The run's seed, the same on every rank.
        rank: This process's rank, which makes the samples' seeds differ between ranks.
    """

    def __init__(self, batch_sampler: Any, seed: int, rank: int) -> None:
        super().__init__(batch_sampler)
        self.seed = seed
        self.rank = rank
        self._pass = 0
        self._skip = 0

    @property
    def sampler_seed(self) -> int | None:
        """The seed that the sampler shuffles with, or None if it has none."""
        seed = getattr(self._seed_owner, "seed", None)
        return seed if isinstance(seed, int) else None

    @sampler_seed.setter
    def sampler_seed(self, seed: int | None) -> None:
        if seed is not None:
            self._seed_owner.seed = seed

    @property
    def _seed_owner(self) -> Any:
        return getattr(self._inner, "sampler", self._inner)

    def start(self, pass_number: int, skip: int = 0) -> None:
        """Set the next iteration to start in pass ``pass_number`` over the data, after its first ``skip`` batches."""
        self._pass, self._skip = pass_number, skip
        for sampler in (self._seed_owner, self._inner):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(pass_number)
                break

    def __iter__(self) -> Iterator[list[SeededIndex]]:
        skip, self._skip = self._skip, 0
        pass_number = self._pass
        for number, batch in enumerate(self._batches(pass_number, skip), start=skip):
            seed = mix(self.seed, _SAMPLE, self.rank, pass_number, number)
            yield [SeededIndex(int(index), mix(seed, slot)) for slot, index in enumerate(batch)]

    def _batches(self, pass_number: int, skip: int) -> Iterator[list[int]]:
        if type(self._seed_owner) in _SELF_SEEDED:
            yield from islice(self._inner, skip, None)
            return
        # A sampler that draws from the global generators runs under a private RNG state, because a loader with workers
        # draws batches ahead, in the middle of training.
        with isolated_rng(mix(self.seed, _SAMPLER, pass_number)):
            batches = islice(self._inner, skip, None)
            private = RandomState.capture()
        while True:
            with isolated_rng():
                private.restore()
                batch = next(batches, None)
                private = RandomState.capture()
            if batch is None:
                return
            yield batch


def build_exact_dataloader(runner: Any, dataloader: DataLoader | dict[str, Any], seed: int, rank: int) -> DataLoader:
    """Build a loader as mmengine's Runner does, but with a seed for each sample.

    Args:
        runner: The Runner, which builds the loader if a config is given.
        dataloader: A config, or a loader that is already built (its data set and batch sampler are used).
        seed: The run's seed, the same on every rank.
        rank: This process's rank.

    Returns:
        A new loader. Building and iterating it draws nothing from the global generators.

    Raises:
        TypeError: If the loader has no batch sampler or reads an iterable-style data set.
    """
    # Build the loader as the Runner does.
    loader: Any = dataloader
    if isinstance(dataloader, dict):
        diff_rank_seed = runner._randomness_cfg.get("diff_rank_seed", False)
        loader = runner.build_dataloader(dataloader, seed=runner.seed, diff_rank_seed=diff_rank_seed)
    if isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        raise TypeError(
            "The resumable loops need a map-style data set and a batch size, but got "
            f"{type(loader.dataset).__name__} with batch_size={loader.batch_size}; use mmengine's own loops."
        )
    # A torch loader can't change its data set or batch sampler after construction, so a new one is built.
    return DataLoader(
        SeededDataset(loader.dataset),
        batch_sampler=SeededBatchSampler(loader.batch_sampler, seed, rank),  # type: ignore[arg-type]
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=torch.Generator().manual_seed(mix(seed, _WORKER, rank)),
        prefetch_factor=loader.prefetch_factor,
        persistent_workers=loader.persistent_workers,
    )


class BatchStream:
    """An endless stream of batches that goes over a loader pass after pass, starting at any position.

    Args:
        dataloader: A loader from :func:`build_exact_dataloader`.
        pass_number: The pass to start in. Defaults to 0.
        batch: Number of batches of that pass to skip. Defaults to 0.
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
                    f"The loader gives no batch from {len(self.dataloader.dataset)} samples; "  # type: ignore[arg-type]
                    "lower batch_size, or set drop_last=False."
                )
            self.pass_number, self.batch = self.pass_number + 1, 0
            self._iterator = self._start()
            return next(self)
        self.batch += 1
        return data

    def _start(self) -> Iterator[Any]:
        self.dataloader.batch_sampler.start(self.pass_number, self.batch)  # type: ignore[union-attr]
        return iter(self.dataloader)
