"""ExactEpochLoop: continues in the middle of an epoch, to the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny_run
from tiny_run import assert_equal

Make = Callable[..., dict[str, Any]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        dict(workers=0, seed=3, stop_at=6, validate=True),  # in the middle of the second epoch of 4 batches
        dict(workers=2, seed=3, stop_at=6, accumulate=2),
        dict(workers=2, seed=None, stop_at=7, accumulate=2, validate=True),
        dict(workers=0, seed=None, stop_at=8),  # after an epoch's last batch, before the epoch is over
    ],
    ids=lambda settings: "-".join(f"{key}={value}" for key, value in settings.items()),
)
def test_resumed_run_ends_in_the_same_weights(config: Make, settings: dict[str, Any]) -> None:
    settings = dict(settings, epochs=True, steps=3)
    stopped = config("stopped", **settings)
    first = tiny_run.train(stopped)
    done = list(tiny_run.READS)
    sampler_seed = first.train_dataloader.batch_sampler.sampler_seed
    straight = tiny_run.build(config("straight", **{**settings, "seed": first.seed, "stop_at": None}))
    straight.train_loop.dataloader.batch_sampler.sampler_seed = sampler_seed
    tiny_run.READS.clear()
    straight.train()
    all_reads = list(tiny_run.READS)

    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)

    assert (resumed.epoch, resumed.iter) == (straight.epoch, straight.iter) == (3, 12)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))
    if settings["workers"] == 0:  # workers read in processes of their own
        assert done + tiny_run.READS == all_reads


@pytest.mark.slow
def test_resumes_between_epochs_and_validates_what_was_left(config: Make) -> None:
    # Stopped by the checkpoint of the second epoch, before that epoch's validation.
    settings = dict(epochs=True, steps=3, validate=True, checkpoint=dict(by_epoch=True), save_every=1)
    straight = tiny_run.train(config("straight", **settings))
    stopped = config("stopped", **settings, stop_at=9)
    tiny_run.train(stopped)
    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))
    scores = [run.message_hub.get_scalar("val/score").data[0].tolist() for run in (straight, resumed)]
    assert scores[0] == scores[1]


def test_validation_and_workers_leave_training_alone(config: Make) -> None:
    plain = tiny_run.weights(tiny_run.train(config("plain", epochs=True, steps=2)))
    watched = config("watched", epochs=True, steps=2, validate=True, workers=2, custom_hooks=(dict(type="NoisyHook"),))
    assert_equal(tiny_run.weights(tiny_run.train(watched)), plain)


def test_rejects_a_sampler_without_an_end_and_epochs_that_are_none(config: Make) -> None:
    cfg = config(epochs=True)
    cfg["train_dataloader"]["sampler"]["type"] = "InfiniteSampler"
    with pytest.raises(ValueError, match="An epoch of InfiniteSampler never ends"):
        tiny_run.train(cfg)
    cfg = config("other", epochs=True)
    cfg["train_cfg"]["max_epochs"] = 1.5
    with pytest.raises(ValueError, match=r"max_epochs must be a whole number above 0, but got 1\.5"):
        tiny_run.train(cfg)
