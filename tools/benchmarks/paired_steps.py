"""Shared parts of the benchmarks: options, CPU and GPU clocks, paired timing, and the table of results."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the options are read before torch is imported
    from torch import Tensor, nn

Context = Callable[[], AbstractContextManager]
Timer = Callable[[], float]
#: Number of steps that are timed together on a GPU.
GPU_STEPS = 5
#: Length of the longest idle kernel, in clock cycles: a few seconds.
MOST_CYCLES = 2**33


def add_arguments(parser: argparse.ArgumentParser, rounds: int, threads: int | None = 1) -> None:
    """Add the options that all benchmarks have."""
    parser.add_argument("--device", default="cpu", help="device to run on (default: cpu)")
    parser.add_argument(
        "--threads", type=int, default=threads, help=f"CPU threads (default: {threads or 'set by torch'})"
    )
    parser.add_argument("--rounds", type=int, default=rounds, help=f"measurements of each (default: {rounds})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to this file, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")


#: Size options of a step and their help texts.
SIZES = {
    "width": "channels of the first stage",
    "batch": "images or clips per step",
    "size": "side length of the frames, in pixels",
}


def read_step_arguments(description: str | None, **sizes: tuple[int, int]) -> argparse.Namespace:
    """Read the command line of a benchmark that times a step.

    Args:
        description: Text for ``--help``.
        sizes: Options of :data:`SIZES`, each with its defaults on a CPU and on a GPU.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=15)
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, help="bfloat16 autocast (default: on a GPU)")
    for name, (small, full) in sizes.items():
        parser.add_argument(f"--{name}", type=int, help=f"{SIZES[name]} (default: {small}; {full} on a GPU)")
    args = parser.parse_args()
    on_gpu = args.device.startswith("cuda")
    for name, defaults in {"amp": (False, True), **sizes}.items():
        if getattr(args, name) is None:
            setattr(args, name, defaults[on_gpu])
    return args


def prepare(args: argparse.Namespace) -> None:
    """Set up torch and memory as trainings do."""
    import torch

    from nda_mm.utils.processes import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True


class Step:
    """One training step of a model on one batch: computes ``loss()`` and updates the model."""

    def __init__(self, model: nn.Module, loss: Callable[[], Tensor], device: str, amp: bool) -> None:
        import torch

        self.loss, self.device, self.amp = loss, torch.device(device).type, amp
        self.optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.03, momentum=0.9)

    def __call__(self) -> None:
        import torch

        with torch.autocast(self.device, torch.bfloat16, enabled=self.amp):
            loss = self.loss()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def attached_in_turn(negatives: Mapping[str, Any]) -> dict[str, Context]:
    """Return contexts for :func:`compare_steps`: the plain step, and each negative attached to its model."""

    @contextmanager
    def attached(negative: Any) -> Iterator[None]:
        negative.attach()
        try:
            yield
        finally:
            negative.detach()

    return {"plain": nullcontext} | {name: partial(attached, negative) for name, negative in negatives.items()}


def seconds(call: Callable[[], object], device: str) -> float:
    """Time one call in seconds, with the clock that suits the device."""
    return seconds_between_events(call, GPU_STEPS) if device.startswith("cuda") else host_seconds(call)


def host_seconds(call: Callable[[], object]) -> float:
    """Time one call in seconds. One CPU thread is timed in processor time, which other processes do not affect."""
    import torch

    now = time.perf_counter if torch.get_num_threads() > 1 else time.process_time
    start = now()
    call()
    return now() - start


def seconds_between_events(call: Callable[[], object], calls: int) -> float:
    """Time several calls in a row on the current device, in seconds per call.

    The host prepares a call while the device runs another, as in training. It waits only at the end.

    Args:
        call: Function to time. The caller must have called it before, to select kernels and allocate memory.
        calls: Number of calls, at least 1.
    """
    return _time_on_device(call, calls)[0]


def device_seconds(call: Callable[[], object], calls: int, cycles: int = 20_000_000) -> float:
    """Time the device's work for several calls in a row, in seconds per call, without the launch time of the host.

    The device runs an idle kernel first, and all calls are queued before it ends.

    Args:
        call: Function to time.
        calls: Number of calls. The queue holds about a thousand kernels.
        cycles: Length of the idle kernel in clock cycles, doubled until the host is ahead. Defaults to 20 million.

    Raises:
        RuntimeError: If the host never gets ahead, because the call waits for the device.
    """
    while cycles <= MOST_CYCLES:
        seconds_of_one, ahead = _time_on_device(call, calls, cycles)
        if ahead:
            return seconds_of_one
        cycles *= 2
    raise RuntimeError("the host can't get ahead of the device: the call waits for it, or launches too many kernels")


def _time_on_device(call: Callable[[], object], calls: int, idle_cycles: int = 0) -> tuple[float, bool]:
    """Return the seconds per call after an idle kernel, and whether all calls were queued before the device began."""
    import torch

    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    if idle_cycles:
        torch.cuda._sleep(idle_cycles)
    first.record()
    for _ in range(calls):
        call()
    last.record()
    ahead = not first.query()
    last.synchronize()
    return first.elapsed_time(last) / 1e3 / calls, ahead


def take_turns(timers: Mapping[str, Timer], plain: Timer, rounds: int) -> dict[str, tuple[float, float]]:
    """Run timers in turns, and return the median seconds of each and the median ratio to the plain one just before.

    Args:
        timers: Functions that time something and return the seconds.
        plain: The timer with which they are compared.
        rounds: Number of rounds. The timers take turns, so that a busy machine slows them all equally.
    """
    times: dict[str, list[float]] = {name: [] for name in timers}
    ratios: dict[str, list[float]] = {name: [] for name in timers}
    for _ in range(rounds):
        for name, timer in timers.items():
            unit, own = plain(), timer()
            times[name].append(own)
            ratios[name].append(own / unit)
    return {name: (statistics.median(times[name]), statistics.median(ratios[name])) for name in timers}


def compare_steps(step: Step, variants: Mapping[str, Context], bars: Mapping[str, float], rounds: int) -> list[dict]:
    """Return a row for each variant, with the median ratio of its time to that of the plain step just before.

    Args:
        step: The step. Outside the contexts of the variants it is the plain step.
        variants: For each name, a function that returns the context in which the step is that variant.
        bars: Largest allowed ratios, for the variants that have a limit.
        rounds: Number of rounds in which the variants take turns.
    """

    def timed(variant: Context) -> float:
        with variant():
            return seconds(step, step.device)

    # Warm up: the first step of each selects kernels and allocates memory.
    for variant in variants.values():
        with variant():
            step()

    timers = {name: partial(timed, variant) for name, variant in variants.items()}
    turns = take_turns(timers, lambda: seconds(step, step.device), rounds)
    return [
        dict(step=name, milliseconds=round(1e3 * own, 1), **rated(round(ratio, 3), bars.get(name)))
        for name, (own, ratio) in turns.items()
    ]


def rated(ratio: float, bar: float | None) -> dict[str, Any]:
    """Return a ratio, the largest one allowed, and whether the limit is met."""
    return dict(ratio=ratio, bar=bar, met=bar is None or ratio <= bar)


def report(rows: list[dict], args: argparse.Namespace) -> int:
    """Print the table, write it to ``args.out`` if given, and return the exit status."""
    import pandas as pd
    import torch

    table = pd.DataFrame(rows)
    table[""] = table.pop("met").map({True: "", False: "MISSED"})
    print(table.to_string(index=False, na_rep=""))
    if args.out:
        on = torch.cuda.get_device_name(args.device) if args.device.startswith("cuda") else "CPU"
        content = {"torch": torch.__version__, "on": on, **vars(args), "out": None, "rows": rows}
        args.out.write_text(json.dumps(content, indent=1, default=str))
    return int(args.check and not all(row["met"] for row in rows))
