"""The clock of a training loop, under a time of our own."""

from __future__ import annotations

import pytest
import torch
from mmengine.hooks import Hook

pytest.importorskip("mmagic")
import gan_runs
import loop_clock
from gan_ladder import LADDER, SHIPPED

STEPS = gan_runs.DISCRIMINATOR_STEPS


class Time(Hook):
    """Each iteration of the runner takes a second, those of the last generator iteration two."""

    def __init__(self, slow_from):
        self.now = 0.0
        self.slow_from = slow_from

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.now += 2.0 if runner.iter >= self.slow_from else 1.0


def run(small, tmp_path, monkeypatch, clock, setting=LADDER[1], slow_from=10**6):
    time = Time(slow_from)
    monkeypatch.setattr(loop_clock.time, "perf_counter", lambda: time.now)
    runner = gan_runs.build(setting, small, gan_runs.choose_data(small), tmp_path, negatives=True)
    runner.register_hook(time)
    runner.register_hook(clock)
    runner.train()
    return runner


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has a clock of its own")
@pytest.mark.parametrize("setting", [LADDER[0], LADDER[1]], ids=["mmengine's loop", "exact loop"])
def test_times_are_those_of_full_iterations_after_the_warm_up(small_on_cpu, tmp_path, monkeypatch, setting):
    clock = loop_clock.LoopClock(warmup=2, steps=3, discriminator_steps=STEPS)
    runner = run(small_on_cpu, tmp_path, monkeypatch, clock, setting, slow_from=4 * STEPS)
    assert runner.iter == 5 * STEPS, "the training ends where the clock does"
    timing = clock.timing
    assert timing.each == [4.0, 4.0, 8.0]
    assert timing.seconds == 16.0
    assert timing.milliseconds == pytest.approx(16e3 / 3)
    assert timing.median == 4e3
    assert timing.slowest_tenth == pytest.approx(4e3 + 0.8 * 4e3)


def test_histories_are_as_long_as_late_in_a_schedule(small_on_cpu, tmp_path, monkeypatch):
    clock = loop_clock.LoopClock(warmup=1, steps=1, discriminator_steps=STEPS, history=500)
    runner = run(small_on_cpu, tmp_path, monkeypatch, clock)
    lengths = {name: len(kept.data[0]) for name, kept in runner.message_hub.log_scalars.items()}
    assert lengths.pop("train/loss_gen") == 501
    assert set(lengths.values()) == {504}


def test_a_bound_of_the_histories_is_kept(small_on_cpu, tmp_path, monkeypatch):
    clock = loop_clock.LoopClock(warmup=3, steps=1, discriminator_steps=STEPS, history=20_000)
    runner = run(small_on_cpu, tmp_path, monkeypatch, clock, SHIPPED)
    assert {len(kept.data[0]) for kept in runner.message_hub.log_scalars.values()} == {10_000}


def test_iterations_add_up_to_the_whole(small, tmp_path):
    runner = gan_runs.build(SHIPPED, small, gan_runs.choose_data(small), tmp_path, negatives=True)
    clock = loop_clock.LoopClock(warmup=2, steps=5, discriminator_steps=STEPS)
    runner.register_hook(clock)
    runner.train()
    timing = clock.timing
    assert len(timing.each) == 5 and min(timing.each) > 0
    assert sum(timing.each) == pytest.approx(timing.seconds, rel=0.05)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 1), (1, 0)])
def test_at_least_one_iteration_of_each(warmup, steps):
    with pytest.raises(ValueError, match=f"must be at least 1, but are {warmup} and {steps}"):
        loop_clock.LoopClock(warmup, steps, STEPS)
