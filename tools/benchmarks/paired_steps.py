"""What the benchmarks of training steps share: taking turns, ratios to the plain step, and the table."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the options are read before torch is imported
    from torch import Tensor, nn

#: Steps in a row that are timed together on a GPU.
GPU_STEPS = 5


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


def seconds(call: Callable[[], object], device: str) -> float:
    """Of one call; on one CPU thread the time it had the processor, which other processes do not lengthen."""
    import torch
    from gpu_time import seconds_between_events

    if torch.device(device).type == "cuda":
        return seconds_between_events(call, GPU_STEPS)
    now = time.perf_counter if torch.get_num_threads() > 1 else time.process_time
    start = now()
    call()
    return now() - start


@contextmanager
def attached(negatives: Any) -> Iterator[None]:
    """With negatives on the model that they were made for, or with None."""
    if negatives is not None:
        negatives.attach()
    try:
        yield
    finally:
        if negatives is not None:
            negatives.detach()


def compare_steps(
    step: Step,
    variants: Mapping[str, Callable[[], AbstractContextManager]],
    bars: Mapping[str, float | None],
    rounds: int,
) -> list[dict]:
    """A row for each variant: the median over the rounds of its time divided by that of the plain step just before.

    Args:
        step: The step, plain outside of the variants' contexts.
        variants: For each name what makes the context in which the step is that variant.
        bars: The largest ratio allowed, or None.
        rounds: How often the variants take turns.
    """
    for variant in variants.values():  # the first step of each chooses kernels and fetches memory
        with variant():
            step()
    ratios: dict[str, list[float]] = {name: [] for name in variants}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            plain = seconds(step, step.device)
            with variant():
                own = seconds(step, step.device)
            times[name].append(own)
            ratios[name].append(own / plain)
    rows = []
    for name in variants:
        ratio, bar = statistics.median(ratios[name]), bars[name]
        milliseconds = round(1e3 * statistics.median(times[name]), 1)
        rows.append(
            dict(step=name, milliseconds=milliseconds, ratio=round(ratio, 3), bar=bar, met=bar is None or ratio <= bar)
        )
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that such benchmarks have in common."""
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--amp", action=argparse.BooleanOptionalAction, help="bfloat16 autocast (default: on a GPU)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")


def prepare(args: argparse.Namespace, small_size: Mapping[str, Any], full_size: Mapping[str, Any]) -> None:
    """Fill in what the command line left open, in small on a CPU, and set torch and memory as trainings do."""
    import torch

    from nda_mm.utils.processes import keep_freed_memory

    keep_freed_memory()
    defaults = full_size if torch.device(args.device).type == "cuda" else small_size
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True


def report(rows: list[dict], args: argparse.Namespace) -> int:
    """Print the table, write the file if one is asked for; the exit status."""
    print(f"{'step':<26} {'milliseconds':>12} {'ratio':>7} {'bar':>6}")
    for row in rows:
        bar = "" if row["bar"] is None else f"{row['bar']:g}"
        verdict = "" if row["met"] else "  MISSED"
        print(f"{row['step']:<26} {row['milliseconds']:>12} {row['ratio']:>7} {bar:>6}{verdict}")
    if args.out:
        import torch
        from gpu_time import device_name

        settings = {**vars(args), "out": None}
        args.out.write_text(
            json.dumps({"torch": torch.__version__, "on": device_name(args.device), **settings, "rows": rows}, indent=1)
        )
    return int(args.check and not all(row["met"] for row in rows))
