"""ExactIterLoop: a resumed run is the run that was never stopped."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_run
import torch


def assert_equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different, different


@pytest.mark.parametrize(
    "settings",
    [
        dict(workers=0, seed=3, stop_at=5),
        dict(workers=2, seed=3, stop_at=5, validate=True),
        dict(workers=0, seed=None, stop_at=6, validate=True, accumulate=2),
        dict(workers=2, seed=None, stop_at=7, accumulate=2),
        dict(workers=0, seed=3, stop_at=5, accumulate=3, infinite=False, validate=True),
        dict(workers=2, seed=3, stop_at=8, infinite=False),
    ],
    ids=lambda settings: "-".join(f"{key}={value}" for key, value in settings.items()),
)
def test_resumed_run_ends_in_the_same_weights(config: Any, settings: dict[str, Any]) -> None:
    stopped = config("stopped", **settings)
    first = tiny_run.train(stopped)
    seed = first.seed  # without a seed, the run that is never stopped must be given the one that was drawn
    sampler_seed = first.train_dataloader.batch_sampler.sampler_seed
    straight_settings = {**settings, "seed": seed, "stop_at": None}
    straight = tiny_run.build(config("straight", **straight_settings))
    straight.train_loop.dataloader.batch_sampler.sampler_seed = sampler_seed
    straight.train()

    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)

    assert resumed.iter == straight.iter == 10
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))
