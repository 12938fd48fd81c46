"""What the benchmarks share: options, clocks of CPU and GPU, taking turns, ratios to the plain step, and the table."""

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
#: Steps in a row that are timed together on a GPU.
GPU_STEPS = 5
#: The longest idle kernel, in clock cycles: some seconds.
MOST_CYCLES = 2**33


def add_arguments(parser: argparse.ArgumentParser, rounds: int, threads: int | None = 1) -> None:
    """Add the options that all benchmarks have."""
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--threads", type=int, default=threads, help=f"CPU threads (default: {threads or 'of torch'})")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each (default: {rounds})")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")


#: What the sizes of a step are.
SIZES = {
    "width": "channels of the first stage",
    "batch": "images, or clips, of a step",
    "size": "side of the frames in pixels",
}


def read_step_arguments(description: str | None, **sizes: tuple[int, int]) -> argparse.Namespace:
    """Read the command line of a benchmark that times a step.

    Args:
        description: For ``--help``.
        sizes: Options of :data:`SIZES`, each with its default on a CPU and on a GPU.
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
    """Set torch and memory as trainings do."""
    import torch

    from nda_mm.utils.processes import keep_freed_memory

    keep_freed_memory()
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True


class Step:
    """One training step of a model on one batch: ``loss()`` is called, and the model moves."""

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
    """Contexts for :func:`compare_steps`: the plain step, and each of the negatives on the model it was made for."""

    @contextmanager
    def attached(negative: Any) -> Iterator[None]:
        negative.attach()
        try:
            yield
        finally:
            negative.detach()

    return {"plain": nullcontext} | {name: partial(attached, negative) for name, negative in negatives.items()}


def seconds(call: Callable[[], object], device: str) -> float:
    """Time one call in seconds, by the clock that suits the device."""
    return seconds_between_events(call, GPU_STEPS) if device.startswith("cuda") else host_seconds(call)


def host_seconds(call: Callable[[], object]) -> float:
    """Time one call in seconds; on one CPU thread in processor time, which other processes do not lengthen."""
    import torch

    now = time.perf_counter if torch.get_num_threads() > 1 else time.process_time
    start = now()
    call()
    return now() - start


def seconds_between_events(call: Callable[[], object], calls: int) -> float:
    """Time several calls in a row on the current device, in seconds for one.

    The host prepares one call while the device does another, as in training; it waits at the end only.

    Args:
        call: What to time; its first call, which may choose kernels or fetch memory, is the caller's affair.
        calls: How many, at least 1.
    """
    return _time_on_device(call, calls)[0]


def device_seconds(call: Callable[[], object], calls: int, cycles: int = 20_000_000) -> float:
    """Time the device's work for several calls in a row, in seconds for one, without what the host takes to launch it.

    The device is given an idle kernel first, and all calls are in its queue before that ends.

    Args:
        call: What to time.
        calls: How many; a queue holds about a thousand kernels.
        cycles: Length of the idle kernel; doubled until the host is ahead.

    Raises:
        RuntimeError: If the host never gets ahead, because the call waits for the device.
    """
    while cycles <= MOST_CYCLES:
        seconds_of_one, ahead = _time_on_device(call, calls, cycles)
        if ahead:
            return seconds_of_one
        cycles *= 2
    raise RuntimeError("the host does not get ahead of the device: the call waits for it, or asks for too many kernels")


def _time_on_device(call: Callable[[], object], calls: int, idle_cycles: int = 0) -> tuple[float, bool]:
    """Seconds of one call, and whether all were in the queue before the device began, after an idle kernel."""
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
    """Take the median over the rounds of each one's seconds, and of their ratio to the plain one timed just before.

    Args:
        timers: Each does what it times, and returns the seconds.
        plain: What they are compared with.
        rounds: How often they take turns, so that a busy machine slows all alike.
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
    """A row for each variant: the median over the rounds of its time divided by that of the plain step just before.

    Args:
        step: The step, plain outside of the variants' contexts.
        variants: For each name what makes the context in which the step is that variant.
        bars: The largest ratio allowed, where there is a limit.
        rounds: How often the variants take turns.
    """

    def timed(variant: Context) -> float:
        with variant():
            return seconds(step, step.device)

    # The first step of each chooses kernels and fetches memory, and is not timed.
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
    """A ratio, the largest that is allowed, and whether it is met."""
    return dict(ratio=ratio, bar=bar, met=bar is None or ratio <= bar)


def report(rows: list[dict], args: argparse.Namespace) -> int:
    """Print the table, write the file if one is asked for; the exit status."""
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
