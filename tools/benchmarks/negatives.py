"""Time every negative against a plain copy of its batch, and jigsaw against a loop over the samples.

    python tools/benchmarks/negatives.py                         # CPU, one thread, 256x3x32x32 and 64x3x128x128
    python tools/benchmarks/negatives.py --check                 # exit status 1 if a bar is missed
    python tools/benchmarks/negatives.py --device cuda           # 2048x3x64x64 and 256x3x224x224
    python tools/benchmarks/negatives.py --shape 64x3x8x64x64 --dtype float16 --out times.json

All take turns, each beside a copy of its own, so that a busy machine slows both alike; a figure is the median over the
rounds of the time divided by that of the copy. The last line of a CPU table divides the loop's time by jigsaw's.

On a GPU the time is the device's own, with all calls in its queue before it begins, as where the host is ahead of it;
batches are larger than its cache. The last column is the ratio of calls in a row that the host is not ahead of: a
negative is several kernels, a copy is one, and the host takes microseconds to start each.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Lets the C library keep freed memory. It otherwise hands batches of this size back to the system now and then, and
#: the next copy pays for that: a copy timed against itself came out anywhere between 0.2 and 1.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", help="BxCxHxW or BxCxTxHxW; may be given several times")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    parser.add_argument("--dtype", default="float32", choices=["float16", "bfloat16", "float32", "float64", "uint8"])
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1; the bars are for 1)")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the figures there, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # read at the start of a process only
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **KEEP_MEMORY})

import torch
from gpu_time import device_name, device_seconds, seconds_between_events
from torch import Tensor

from nda_mm import functional as F

#: The most a negative may take, in copies of the batch, on one CPU thread in float32.
BARS = {
    "256x3x32x32": {"jigsaw": 6, "stitch": 6, "shift": 6, "mixup": 6, "cutmix": 9, "cutout": 14},
    "64x3x128x128": {"jigsaw": 4, "stitch": 5, "shift": 5, "mixup": 5, "cutmix": 9, "cutout": 12},
}
#: The least speed-up of jigsaw over the loop.
LOOP_BARS = {"256x3x32x32": 10}
GPU_BAR = 2.0
#: Calls in a row on a GPU.
GPU_CALLS = 10
GPU_SHAPES = ["2048x3x64x64", "256x3x224x224"]


def loop_jigsaw(x: Tensor, grid: int = 2) -> Tensor:
    """Jigsaw as one writes it for a single image, sample by sample and tile by tile."""
    out = torch.empty_like(x)
    height, width = x.shape[-2] // grid, x.shape[-1] // grid
    for sample, image in enumerate(x):
        order = torch.randperm(grid * grid).tolist()
        while order == sorted(order):
            order = torch.randperm(grid * grid).tolist()
        for place, tile in enumerate(order):
            top, left = place // grid * height, place % grid * width
            from_top, from_left = tile // grid * height, tile % grid * width
            out[sample, ..., top : top + height, left : left + width] = image[
                ..., from_top : from_top + height, from_left : from_left + width
            ]
    return out


def contestants(x: Tensor, generator: torch.Generator) -> dict[str, Callable[[], Tensor]]:
    """What is timed on the batch ``x``; the copy first."""
    names = [name for name in F.__all__ if name != "shuffle_frames" or x.ndim == 5]
    negatives = {name: functools.partial(getattr(F, name), x, generator=generator) for name in names}
    return {"copy": x.clone, **negatives}


def take_turns(
    calls: dict[str, Callable[[], Tensor]],
    against: Callable[[], Tensor],
    rounds: int,
    seconds: Callable[[Callable[[], Tensor]], float],
) -> dict[str, tuple[float, float]]:
    """Median seconds of each call, and its median ratio to ``against`` timed just before it, over the rounds.

    Every timed call follows one of its own kind that does not count, so that none pays for memory that another gave
    back to the system.
    """

    def warm_seconds(call: Callable[[], Tensor]) -> float:
        call()
        return seconds(call)

    times: dict[str, list[float]] = {name: [] for name in calls}
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            unit, own = warm_seconds(against), warm_seconds(call)
            times[name].append(own)
            ratios[name].append(own / unit)
    return {name: (statistics.median(times[name]), statistics.median(ratios[name])) for name in calls}


def host_seconds(call: Callable[[], Tensor]) -> float:
    """Of a call; one CPU thread is timed by the time it had the processor: other processes do not count."""
    now = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = now()
    call()
    return now() - start


def measure(shape: str, args: argparse.Namespace) -> list[dict]:
    """One row of results for each negative at one shape."""
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand([int(size) for size in shape.split("x")], device=device, generator=generator)
    x = (x * 255).to(torch.uint8) if args.dtype == "uint8" else x.to(getattr(torch, args.dtype))
    if args.channels_last:
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
    standard = args.dtype == "float32" and args.threads == 1 and not args.channels_last
    calls = contestants(x, generator)
    cuda = device.type == "cuda"
    clock = functools.partial(device_seconds, calls=GPU_CALLS) if cuda else host_seconds
    rows = []
    for name, (seconds, ratio) in take_turns(calls, x.clone, args.rounds, clock).items():
        bar = GPU_BAR if cuda else BARS.get(shape, {}).get(name) if standard else None
        bar = None if name == "copy" else bar
        rows.append(row(shape, name, seconds, ratio, bar, met=bar is None or ratio <= bar))
    if cuda:
        with_host = functools.partial(seconds_between_events, calls=GPU_CALLS)
        for result, (_, ratio) in zip(rows, take_turns(calls, x.clone, args.rounds, with_host).values(), strict=True):
            result["ratio_with_host"] = round(ratio, 2)
    else:
        loop = {"loop over samples / jigsaw": lambda: loop_jigsaw(x)}
        turns = take_turns(loop, lambda: F.jigsaw(x), max(args.rounds // 5, 5), host_seconds)
        least = LOOP_BARS.get(shape) if standard else None
        for name, (seconds, ratio) in turns.items():
            rows.append(row(shape, name, seconds, ratio, least, met=least is None or ratio >= least))
    return rows


def row(shape: str, name: str, seconds: float, ratio: float, bar: float | None, met: bool) -> dict:
    """One line of the table."""
    return dict(
        shape=shape, negative=name, microseconds=round(seconds * 1e6, 1), ratio=round(ratio, 2), bar=bar, met=met
    )


def main() -> int:
    """Parse, measure, print; the exit status."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    shapes = args.shape or (GPU_SHAPES if torch.device(args.device).type == "cuda" else list(BARS))
    rows = []
    cuda = torch.device(args.device).type == "cuda"
    head = f"{'shape':>16}  {'negative':<26} {'microseconds':>12} {'ratio':>7} {'bar':>5}"
    print(head + (f" {'with host':>9}" if cuda else ""))
    for shape in shapes:
        for result in measure(shape, args):
            bar = "" if result["bar"] is None else f"{result['bar']:g}"
            verdict = "" if result["met"] else "  MISSED"
            line = f"{shape:>16}  {result['negative']:<26} {result['microseconds']:>12} {result['ratio']:>7} {bar:>5}"
            with_host = f" {result['ratio_with_host']:>9}" if "ratio_with_host" in result else ""
            print(line + with_host + verdict)
            rows.append(result)
    if args.out:
        args.out.write_text(
            json.dumps(
                {"torch": torch.__version__, "on": device_name(args.device), **vars(args), "out": None, "rows": rows},
                indent=1,
            )
        )
    return int(args.check and not all(result["met"] for result in rows))


if __name__ == "__main__":
    sys.exit(main())
