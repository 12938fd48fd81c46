"""Where the time of a training iteration of a GAN goes, part by part."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.nn.utils.spectral_norm import SpectralNorm

Path = tuple[str, ...]


class Stopwatch:
    """Times nested parts of a program; a part's own time leaves out the parts within it.

    Args:
        synchronize: Wait for the GPU wherever a part begins or ends, so that a part's time holds its work there.
            Without, it is the host's time: what the host needs to ask for that work, and what it waits for anyway.
        now: The clock. Defaults to the wall's.
    """

    def __init__(self, synchronize: bool = False, now: Callable[[], float] = time.perf_counter) -> None:
        self.synchronize = synchronize and torch.cuda.is_available()
        self.now = now
        self.own: dict[Path, float] = defaultdict(float)
        self.calls: dict[Path, int] = defaultdict(int)
        self.running = False
        self._stack: list[str] = []
        self._since = 0.0

    def start(self) -> None:
        """Begin, outside of all parts."""
        self._turn()
        self.running = True

    def stop(self) -> None:
        """End; parts that are still open are left."""
        self._turn()
        self.running = False
        self._stack.clear()

    def _turn(self) -> None:
        """Give the time since the last turn to the part that has just run."""
        if self.synchronize:
            torch.cuda.synchronize()
        now = self.now()
        if self.running:
            self.own[tuple(self._stack)] += now - self._since
        self._since = now

    def enter(self, name: str) -> None:
        """Begin a part."""
        if self.running:
            self._turn()
            self._stack.append(name)
            self.calls[tuple(self._stack)] += 1

    def leave(self, name: str) -> None:
        """End it; nothing if it began before the watch did."""
        if self.running and self._stack and self._stack[-1] == name:
            self._turn()
            self._stack.pop()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part that lasts as long as the context."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave(name)

    def timed(self, call: Callable, name: str) -> Callable:
        """The same callable as a part."""

        def within(*args: Any, **kwargs: Any) -> Any:
            with self.part(name):
                return call(*args, **kwargs)

        return within

    def wrap(self, owner: Any, attribute: str, name: str) -> None:
        """Make a method of an object a part, if it has it."""
        if owner is not None and hasattr(owner, attribute):
            setattr(owner, attribute, self.timed(getattr(owner, attribute), name))

    def total(self, *path: str) -> float:
        """Seconds of a part with those within it; of everything, for no path."""
        return sum(seconds for each, seconds in self.own.items() if each[: len(path)] == path)

    def table(self, iterations: int) -> list[dict[str, Any]]:
        """A row for each part, parents before their children, longest first: milliseconds and calls an iteration."""
        rows: list[dict[str, Any]] = []

        def add(path: Path) -> None:
            total = self.total(*path)
            own = self.own.get(path, 0.0)
            rows.append(
                {
                    "part": path[-1] if path else "iteration",
                    "depth": len(path),
                    "milliseconds": 1e3 * total / iterations,
                    "own": 1e3 * own / iterations,
                    "calls": self.calls.get(path, 0) / iterations,
                }
            )
            children = {
                each[: len(path) + 1] for each in self.own if each[: len(path)] == path and len(each) > len(path)
            }
            for child in sorted(children, key=lambda each: -self.total(*each)):
                add(child)

        add(())
        return rows


def watch(runner: Runner, stopwatch: Stopwatch, compiled: bool = False) -> None:
    """Make the parts of a GAN's training parts of the watch.

    Parts: fetching data (from the end of one iteration of the runner to the begin of the next), preprocessing, both
    networks' steps (in them: backward, optimizer, negatives, and, unless the networks are compiled, spectral norm), the
    moving average, and every hook. What is in none of them is the loop's own.

    Args:
        runner: Before its training.
        stopwatch: Gets the times; it is started and stopped by :class:`PartsHook`.
        compiled: Leave alone what runs inside of the networks.
    """
    model = runner.model
    stopwatch.wrap(model.data_preprocessor, "forward", "preprocessing")
    stopwatch.wrap(model, "train_discriminator", "discriminator step")
    stopwatch.wrap(model, "train_generator", "generator step")
    stopwatch.wrap(model, "parse_losses", "parse_losses")
    stopwatch.wrap(getattr(model, "negative", None), "forward", "negatives")
    for method in ("update_parameters", "sync_buffers", "sync_parameters"):
        stopwatch.wrap(getattr(model, "generator_ema", None), method, "moving average")
    if not compiled:
        stopwatch.wrap(model, "generated_batch", "generated images")
        for module in model.modules():
            for hook in module._forward_pre_hooks.values():
                if isinstance(hook, SpectralNorm):
                    stopwatch.wrap(hook, "compute_weight", "spectral norm")
    for hook in runner.hooks:
        for method in ("before_train_iter", "after_train_iter"):
            stopwatch.wrap(hook, method, type(hook).__name__)


class PartsHook(Hook):
    """Starts and stops the watch around the iterations that count, and ends the training after them.

    Args:
        stopwatch: The watch.
        warmup: Generator iterations before.
        steps: Generator iterations to watch.
        discriminator_steps: Iterations of the runner to one of the generator.
    """

    priority = "LOWEST"

    def __init__(self, stopwatch: Stopwatch, warmup: int, steps: int, discriminator_steps: int) -> None:
        self.stopwatch = stopwatch
        self.warmup, self.steps, self.discriminator_steps = warmup, steps, discriminator_steps

    def before_train(self, runner: Runner) -> None:
        """Watch what exists from here on: the optimizers, and the loop's iterations."""
        for wrapper in runner.optim_wrapper.values():
            self.stopwatch.wrap(wrapper, "backward", "backward")
            self.stopwatch.wrap(wrapper, "step", "optimizer")
            self.stopwatch.wrap(wrapper, "zero_grad", "optimizer")
        loop = runner.train_loop
        run_iter, call_hook = loop.run_iter, runner.call_hook

        def between(*args: Any, **kwargs: Any) -> None:
            self.stopwatch.leave("fetching data")
            run_iter(*args, **kwargs)
            self.stopwatch.enter("fetching data")

        def called(stage: str, **kwargs: Any) -> None:
            if stage.endswith("train_iter"):
                with self.stopwatch.part("hooks"):
                    call_hook(stage, **kwargs)
            else:
                call_hook(stage, **kwargs)

        loop.run_iter, runner.call_hook = between, called

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Start, or stop, after a generator iteration."""
        step, rest = divmod(runner.iter + 1, self.discriminator_steps)
        if rest == 0 and step == self.warmup:
            self.stopwatch.start()
        if rest == 0 and step == self.warmup + self.steps:
            self.stopwatch.stop()
            runner.train_loop.stop_training = True
