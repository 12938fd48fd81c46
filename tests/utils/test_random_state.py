"""The global generators: captured, restored, kept in a checkpoint."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch

from nda_mm.utils.random_state import RandomState, isolated_rng, mix, seed_global_generators


def draw(normals: int = 1) -> tuple[float, ...]:
    # numpy draws normal numbers in pairs and keeps the second of them.
    return (random.random(), random.gauss(0, 1), *np.random.randn(normals), float(torch.randn(())))  # noqa: NPY002


def test_a_state_survives_a_checkpoint(tmp_path: Path) -> None:
    draw()
    state = RandomState.capture()
    expected = [draw() for _ in range(3)]
    torch.save(state.pack(), tmp_path / "state.pt")
    RandomState.unpack(torch.load(tmp_path / "state.pt", weights_only=True)).restore()
    assert [draw() for _ in range(3)] == expected


def test_numbers_from_a_seed_repeat_and_leave_no_trace() -> None:
    before = RandomState.capture()
    expected = draw(2)
    before.restore()
    inside = []
    for _ in range(2):
        with suppress(KeyError), isolated_rng(11):
            inside.append(draw(3))
            with isolated_rng(12):  # within one another, too
                draw()
            inside[-1] += draw(2)
            raise KeyError  # after an error, too
    assert inside[0] == inside[1]
    assert draw(2) == expected


def test_the_state_outside_can_be_saved_meanwhile() -> None:
    with isolated_rng(1) as outer_state:
        draw()
        saved = RandomState.unpack(outer_state().pack())
    expected = draw(2)
    seed_global_generators(2)
    saved.restore()
    assert draw(2) == expected


def test_seeding_matches_the_libraries_own() -> None:
    seed_global_generators(2**40 + 5)
    ours = (random.random(), float(np.random.rand()), float(torch.rand(())))  # noqa: NPY002
    theirs = (
        random.Random(2**40 + 5).random(),
        float(np.random.RandomState((2**40 + 5) % 2**32).rand()),
        float(torch.rand((), generator=torch.Generator().manual_seed(2**40 + 5))),
    )
    assert ours == theirs


def test_mix_spreads_neighbors_over_all_bits() -> None:
    values = [mix(seed, place) for seed in range(64) for place in range(64)]
    assert len(set(values)) == len(values)
    bits = np.array([[value >> bit & 1 for bit in range(64)] for value in values])
    # Each bit is a fair coin over 4096 values: five standard deviations are 0.039.
    assert np.abs(bits.mean(0) - 0.5).max() < 0.04
