"""Time every negative relative to a plain copy of the batch, and jigsaw relative to a loop over the samples.

    python tools/benchmarks/negatives.py                         # CPU, one thread, 256x3x32x32 and 64x3x128x128
    python tools/benchmarks/negatives.py --check                 # exit status 1 if a bar is missed
    python tools/benchmarks/negatives.py --device cuda           # 2048x3x64x64 and 256x3x224x224
    python tools/benchmarks/negatives.py --shape 64x3x8x64x64 --dtype float16 --out times.json

The negatives take turns, each with a copy just before, so that a busy machine slows both equally. Each ratio is the
median over the rounds of the time divided by that of the copy. The last line of a CPU table divides the time of the
loop by that of jigsaw.

On a GPU only the time of the device is measured: all calls are queued before it starts, as in a training where the host
is ahead. Batches are larger than the device's cache. The last column is the ratio if calls are not queued ahead: a
negative consists of several kernels, a copy of one, and the host takes microseconds to launch each.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial

from paired_steps import add_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", help="BxCxHxW or BxCxTxHxW; can be repeated")
    add_arguments(parser, rounds=100)
    parser.add_argument("--dtype", default="float32", choices=["float16", "bfloat16", "float32", "float64", "uint8"])
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="also time the negatives with torch.compile")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import torch
from paired_steps import device_seconds, host_seconds, prepare, rated, report, seconds_between_events, take_turns
from torch import Tensor

from nda_mm import functional as F

Call = Callable[[], Tensor]
Clock = Callable[[Call], float]
#: Largest allowed time of a negative, in copies of the batch, on one CPU thread in float32.
BARS = {
    "256x3x32x32": {"jigsaw": 6, "stitch": 6, "shift": 6, "mixup": 6, "cutmix": 9, "cutout": 14},
    "64x3x128x128": {"jigsaw": 4, "stitch": 5, "shift": 5, "mixup": 5, "cutmix": 9, "cutout": 12},
}
#: Smallest allowed speed-up of jigsaw over the loop.
LOOP_BARS = {"256x3x32x32": 10}
GPU_BAR = 2.0
#: Number of calls that are timed together on a GPU.
GPU_CALLS = 10
GPU_SHAPES = ["2048x3x64x64", "256x3x224x224"]


def loop_jigsaw(x: Tensor, grid: int = 2) -> Tensor:
    """Naive jigsaw, sample by sample and tile by tile."""
    out = torch.empty_like(x)
    height, width = x.shape[-2] // grid, x.shape[-1] // grid

    def tile(image: Tensor, index: int) -> Tensor:
        top, left = index // grid * height, index % grid * width
        return image[..., top : top + height, left : left + width]

    for image, result in zip(x, out):
        order = identity = list(range(grid * grid))
        while order == identity:
            order = torch.randperm(grid * grid).tolist()
        for place, source in enumerate(order):
            tile(result, place).copy_(tile(image, source))
    return out


def contestants(x: Tensor, generator: torch.Generator, compiled: bool) -> dict[str, Call]:
    """Return the functions to time on the batch ``x``, the copy first. Compiled negatives use torch's own generator."""
    names = [name for name in F.__all__ if name != "shuffle_frames" or x.ndim == 5]
    negatives = {name: partial(getattr(F, name), x, generator=generator) for name in names}
    if compiled:
        negatives |= {f"{name}, compiled": partial(torch.compile(getattr(F, name)), x) for name in names}
    return {"copy": x.clone, **negatives}


def measure_turns(
    calls: Mapping[str, Call], against: Call, rounds: int, clock: Clock = host_seconds
) -> dict[str, tuple[float, float]]:
    """Time calls in turns with a clock; see :func:`take_turns`."""
    timers = {name: partial(warm_seconds, call, clock) for name, call in calls.items()}
    return take_turns(timers, partial(warm_seconds, against, clock), rounds)


def warm_seconds(call: Call, clock: Clock) -> float:
    """Time a call after an untimed one, so that it does not pay for memory that another call has freed."""
    call()
    return clock(call)


def measure(shape: str, args: argparse.Namespace) -> list[dict]:
    """Return a row for each negative at one shape."""
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand([int(size) for size in shape.split("x")], device=device, generator=generator)
    x = (x * 255).to(torch.uint8) if args.dtype == "uint8" else x.to(getattr(torch, args.dtype))
    if args.channels_last:
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
    calls = contestants(x, generator, args.compile)
    # On a GPU all negatives have the same bar, and are timed both without and with the host.
    if device.type == "cuda":
        turns, with_host = (
            measure_turns(calls, x.clone, args.rounds, partial(clock, calls=GPU_CALLS))
            for clock in (device_seconds, seconds_between_events)
        )
        rows = [row(shape, name, *turn, None if name == "copy" else GPU_BAR) for name, turn in turns.items()]
        return [each | dict(ratio_with_host=round(with_host[each["negative"]][1], 2)) for each in rows]
    # The CPU bars hold for one thread in float32.
    standard = args.dtype == "float32" and args.threads == 1 and not args.channels_last
    bars = BARS.get(shape, {}) if standard else {}
    turns = measure_turns(calls, x.clone, args.rounds)
    rows = [row(shape, name, *turn, bars.get(name)) for name, turn in turns.items()]
    # The loop is slow, so it gets fewer rounds.
    loop = "loop over samples / jigsaw"
    turns = measure_turns({loop: partial(loop_jigsaw, x)}, partial(F.jigsaw, x), max(args.rounds // 5, 5))
    seconds, ratio = turns[loop]
    least = LOOP_BARS.get(shape) if standard else None
    return [*rows, row(shape, loop, seconds, ratio, least) | dict(met=least is None or ratio >= least)]


def row(shape: str, name: str, seconds: float, ratio: float, bar: float | None) -> dict:
    """Return a row of the table."""
    return dict(shape=shape, negative=name, microseconds=round(seconds * 1e6, 1), **rated(round(ratio, 2), bar))


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    prepare(args)
    shapes = args.shape or (GPU_SHAPES if args.device.startswith("cuda") else list(BARS))
    return report([row for shape in shapes for row in measure(shape, args)], args)


if __name__ == "__main__":
    sys.exit(main())
