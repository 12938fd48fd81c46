"""Seeded samples: the same whoever reads them, and from wherever one starts."""

from __future__ import annotations

import pickle
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, Sampler, TensorDataset

from nda_mm.engine.data_stream import (
    BatchStream,
    SeededDataset,
    SeededIndex,
    build_exact_dataloader,
)
from nda_mm.utils.random_state import RandomState

RUNNER = SimpleNamespace(seed=0, _randomness_cfg={})


class Noisy(Dataset):
    metainfo = {"classes": ("a",)}

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[float, ...]:
        return (float(index), random.random(), float(np.random.rand()), float(torch.rand(())))  # noqa: NPY002


class Careless(Sampler):
    """Draws each index from the global generators when asked, as some samplers do."""

    def __len__(self) -> int:
        return 8

    def __iter__(self) -> Any:
        for _ in range(8):
            yield random.randrange(4) + int(np.random.randint(4)) + int(torch.randint(3, ()))  # noqa: NPY002


def exact(sampler: Any, seed: int = 1, rank: int = 0, **options: Any) -> DataLoader:
    loader = DataLoader(Noisy(), batch_sampler=BatchSampler(sampler, 3, False), collate_fn=list, **options)
    return build_exact_dataloader(RUNNER, loader, seed, rank)


SAMPLERS = {
    "default": lambda: DefaultSampler(Noisy(), shuffle=True, seed=5),
    "infinite": lambda: InfiniteSampler(Noisy(), shuffle=True, seed=5),
    "torch": lambda: RandomSampler(Noisy()),
    "careless": Careless,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_stream_started_later_is_the_rest_of_the_whole(name: str) -> None:
    stream = BatchStream(exact(SAMPLERS[name]()))
    whole, places = [], []
    for _ in range(11):
        places.append((stream.pass_number, stream.batch))
        whole.append(next(stream))
        torch.rand(3)  # training draws in between, which must not matter
    for start in (0, 1, 3, 4, 5, 9):
        random.seed(start)
        later = BatchStream(exact(SAMPLERS[name]()), *places[start])
        assert [next(later) for _ in range(start, 11)] == whole[start:]


@pytest.mark.parametrize("name", ["default", "careless"])
def test_workers_change_nothing_and_nothing_is_drawn_from_the_training(name: str) -> None:
    before = RandomState.capture()
    streams = [
        BatchStream(exact(SAMPLERS[name](), **options))
        for options in ({}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True, "prefetch_factor": 4})
    ]
    batches = [[next(stream) for _ in range(7)] for stream in streams]
    assert batches[0] == batches[1] == batches[2]
    after = RandomState.capture()
    assert before.python == after.python
    assert torch.equal(before.torch, after.torch)
    assert np.array_equal(before.numpy[1], after.numpy[1])
    assert before.numpy[2] == after.numpy[2]


def test_every_position_rank_and_seed_draws_different_numbers() -> None:
    drawn = []
    for seed, rank in ((1, 0), (2, 0), (1, 1)):
        stream = BatchStream(exact(DefaultSampler(Noisy(), shuffle=False), seed, rank))
        drawn += [sample[1:] for _ in range(8) for sample in next(stream)]
    flat = [number for numbers in drawn for number in numbers[:3]]
    assert len(set(flat)) == len(flat) == 3 * 2 * 10 * 3


def test_data_sets_that_read_whole_batches_do() -> None:
    class Batched(Noisy):
        def __getitems__(self, indices: list[int]) -> list[float]:
            return [index + random.random() for index in indices]

    loaders = [
        build_exact_dataloader(RUNNER, DataLoader(Batched(), batch_size=5, collate_fn=list, num_workers=workers), 1, 0)
        for workers in (0, 1)
    ]
    assert list(loaders[0]) == list(loaders[1])


def test_the_wrapped_data_set_can_be_sent_to_a_process() -> None:
    wrapped = SeededDataset(TensorDataset(torch.arange(3.0)))
    again = pickle.loads(pickle.dumps(wrapped))
    assert again[SeededIndex(2, 5)][0] == 2.0
    assert len(again) == 3
