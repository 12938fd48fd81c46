"""A hook that times the loop it is in, and stops it."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner


@dataclass(frozen=True)
class Timing:
    """Times of full generator iterations, each with its discriminator steps.

    Attributes:
        seconds: Of all of them together, the device's work included.
        each: Seconds of each: between the ends of its work on a GPU, on the host otherwise.
    """

    seconds: float
    each: list[float]

    @property
    def milliseconds(self) -> float:
        """The mean of an iteration: what the loop takes, rare delays included."""
        return 1e3 * self.seconds / len(self.each)

    @property
    def median(self) -> float:
        """Milliseconds of an iteration in the middle."""
        return 1e3 * statistics.median(self.each)

    @property
    def slowest_tenth(self) -> float:
        """Milliseconds that nine of ten iterations stay below."""
        return 1e3 * float(np.quantile(self.each, 0.9))


class LoopClock(Hook):
    """Times a number of generator iterations after a number that do not count, then ends the training.

    The host waits for the device at the first and at the last of them and nowhere between, so that what the loop itself
    lets overlap does.

    Args:
        warmup: Generator iterations that do not count, at least 1.
        steps: Generator iterations to time, at least 1.
        discriminator_steps: Iterations of the runner to one of the generator.
        history: Entries that the logged scalars' histories hold when the clock starts. mmengine keeps every value of a
            run, so an iteration late in a schedule need not take what an early one takes. Defaults to 0.
    """

    priority = "LOWEST"

    def __init__(self, warmup: int, steps: int, discriminator_steps: int, history: int = 0) -> None:
        if warmup < 1 or steps < 1:
            raise ValueError(f"warmup and steps must be at least 1, but are {warmup} and {steps}.")
        self.warmup, self.steps = warmup, steps
        self.discriminator_steps = discriminator_steps
        self.history = history
        self.timing: Timing | None = None
        self._ticks: list[Any] = []
        self._start = 0.0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look at the clock after each generator iteration."""
        step, rest = divmod(runner.iter + 1, self.discriminator_steps)
        if rest or step < self.warmup:
            return
        cuda = torch.cuda.is_available()
        if step == self.warmup:
            self._age(runner)
            if cuda:
                torch.cuda.synchronize()
            self._start = time.perf_counter()
        self._ticks.append(_recorded_event() if cuda else time.perf_counter())
        if step == self.warmup + self.steps:
            if cuda:
                torch.cuda.synchronize()
            seconds = time.perf_counter() - self._start
            pairs = zip(self._ticks, self._ticks[1:])
            each = [first.elapsed_time(last) / 1e3 if cuda else last - first for first, last in pairs]
            self.timing = Timing(seconds, each)
            runner.train_loop.stop_training = True

    def _age(self, runner: Runner) -> None:
        """Make the histories as long as they are late in a schedule, as far as they may grow."""
        for name, buffer in runner.message_hub.log_scalars.items():
            if self.history > len(buffer.data[0]):
                length = min(self.history, buffer.max_length)
                value = buffer.current()
                runner.message_hub.log_scalars[name] = type(buffer)(
                    np.full(length, value), np.ones(length, dtype=np.int64), buffer.max_length
                )


def _recorded_event() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event
