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
import sys
from collections.abc import Callable, Mapping
from functools import partial

from paired_steps import add_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", action="append", help="BxCxHxW or BxCxTxHxW; may be given several times")
    add_arguments(parser, rounds=100)
    parser.add_argument("--dtype", default="float32", choices=["float16", "bfloat16", "float32", "float64", "uint8"])
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="time the negatives through torch.compile, too")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import torch
from paired_steps import device_seconds, host_seconds, prepare, rated, report, seconds_between_events, take_turns
from torch import Tensor

from nda_mm import functional as F

Call = Callable[[], Tensor]
Clock = Callable[[Call], float]
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
    """What is timed on the batch ``x``; the copy first. Compiled negatives draw from torch's own generator."""
    names = [name for name in F.__all__ if name != "shuffle_frames" or x.ndim == 5]
    negatives = {name: partial(getattr(F, name), x, generator=generator) for name in names}
    if compiled:
        negatives |= {f"{name}, compiled": partial(torch.compile(getattr(F, name)), x) for name in names}
    return {"copy": x.clone, **negatives}


def measure_turns(
    calls: Mapping[str, Call], against: Call, rounds: int, clock: Clock = host_seconds
) -> dict[str, tuple[float, float]]:
    """Time calls in turns, each by the clock; see :func:`take_turns`."""
    timers = {name: partial(warm_seconds, call, clock) for name, call in calls.items()}
    return take_turns(timers, partial(warm_seconds, against, clock), rounds)


def warm_seconds(call: Call, clock: Clock) -> float:
    """Time a call after one that does not count, so that it does not pay for memory that another gave back."""
    call()
    return clock(call)


def measure(shape: str, args: argparse.Namespace) -> list[dict]:
    """One row of results for each negative at one shape."""
    device = torch.device(args.device)
    generator = torch.Generator(device).manual_seed(0)
    x = torch.rand([int(size) for size in shape.split("x")], device=device, generator=generator)
    x = (x * 255).to(torch.uint8) if args.dtype == "uint8" else x.to(getattr(torch, args.dtype))
    if args.channels_last:
        x = x.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)
    calls = contestants(x, generator, args.compile)
    # A GPU has one bar for all, and its own time and that with the host side by side.
    if device.type == "cuda":
        turns, with_host = (
            measure_turns(calls, x.clone, args.rounds, partial(clock, calls=GPU_CALLS))
            for clock in (device_seconds, seconds_between_events)
        )
        rows = [row(shape, name, *turn, None if name == "copy" else GPU_BAR) for name, turn in turns.items()]
        return [each | dict(ratio_with_host=round(with_host[each["negative"]][1], 2)) for each in rows]
    # The bars of a CPU are those of one thread in float32.
    standard = args.dtype == "float32" and args.threads == 1 and not args.channels_last
    bars = BARS.get(shape, {}) if standard else {}
    turns = measure_turns(calls, x.clone, args.rounds)
    rows = [row(shape, name, *turn, bars.get(name)) for name, turn in turns.items()]
    # The loop takes long, so it has fewer turns.
    loop = "loop over samples / jigsaw"
    turns = measure_turns({loop: partial(loop_jigsaw, x)}, partial(F.jigsaw, x), max(args.rounds // 5, 5))
    seconds, ratio = turns[loop]
    least = LOOP_BARS.get(shape) if standard else None
    return [*rows, row(shape, loop, seconds, ratio, least) | dict(met=least is None or ratio >= least)]


def row(shape: str, name: str, seconds: float, ratio: float, bar: float | None) -> dict:
    """One line of the table."""
    return dict(shape=shape, negative=name, microseconds=round(seconds * 1e6, 1), **rated(round(ratio, 2), bar))


def main() -> int:
    """Parse, measure, print; the exit status."""
    args = parse_args()
    prepare(args)
    shapes = args.shape or (GPU_SHAPES if args.device.startswith("cuda") else list(BARS))
    return report([row for shape in shapes for row in measure(shape, args)], args)


if __name__ == "__main__":
    sys.exit(main())
