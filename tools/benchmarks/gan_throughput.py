"""Time the training of the CIFAR-10 BigGAN, one setting after the other, each adding one to those before it.

    python tools/benchmarks/gan_throughput.py --device cuda --out runs/throughput           # every rung of the ladder
    python tools/benchmarks/gan_throughput.py --device cuda --schedule-steps 2000 --check   # and the bars
    python tools/benchmarks/gan_throughput.py --rungs 0 1 shipped --negatives with          # some of them
    python tools/benchmarks/gan_throughput.py --width 8 --batch 16 --made 512 --workers 0 --steps 2 --warmup 1  # a CPU

An iteration is a full one: 4 steps of the discriminator and one of the generator, in the loop that trains, with its
hooks (see gan_runs.py). Images a second are the real ones that the discriminator is trained on. The share of the
arithmetic is the time that the iteration's matrix products and convolutions would take at the speed of a large matrix
product of the same precision, measured here, divided by the iteration's time.

Rung 0 is mmagic's own recipe with its per-image loader and mmengine's loop, at our batch size; "shipped" is our recipe
as it is. With --out, results.json, results.csv and results.md are written there after every row; the same command
continues with what is missing in them, and another --rungs adds to them.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gan_ladder import DISCRIMINATOR_STEPS, SCHEDULE, SETTINGS, Setting, add_arguments

#: The exit status when time was up, and the same command would go on.
MORE_TO_DO = 3


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    names, listed = list(SETTINGS), ", ".join(f"{name}: {setting.name}" for name, setting in SETTINGS.items())
    parser.add_argument("--rungs", nargs="+", choices=names, default=names, metavar="R", help=listed)
    parser.add_argument("--negatives", choices=["both", "with", "without"], default="both")
    parser.add_argument("--steps", type=int, default=100, help="iterations to time (default 100)")
    parser.add_argument("--warmup", type=int, default=10, help="iterations before them (default 10)")
    parser.add_argument(
        "--schedule-steps", type=int, default=0, help="iterations to extrapolate from (default 0: don't)"
    )
    parser.add_argument("--minutes", type=float, help=f"begin no row that would end later; status {MORE_TO_DO}: go on")
    parser.add_argument("--out", type=Path, help="folder for results.json, results.csv and results.md")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed or a row failed")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import gan_runs
import torch
from arithmetic import FlopHook, matmul_speed
from gan_report import Row, check_bars, compare, markdown, read, write
from gan_runs import precision_of
from loop_clock import LoopClock, Timing


class Benchmark:
    """Runs settings one after the other and keeps what they took."""

    def __init__(self, args: argparse.Namespace, work_dir: Path) -> None:
        self.args, self.work_dir = args, work_dir
        self.data = gan_runs.choose_data(args)
        self.rows: list[Row] = []
        self.schedule: dict[str, float] | None = None
        self._speeds: dict[str, float] = {}
        self._flops: dict[bool, int] = {}
        if args.out is not None and (earlier := read(args.out, self._conditions())):
            self.rows = [Row(**row) for row in earlier["rows"] if not row["error"]]
            self.schedule = earlier["schedule"]
            self._speeds = {name: 1e12 * speed for name, speed in earlier["matmul_teraflops"].items()}

    def _conditions(self) -> dict[str, Any]:
        """What all figures of one table share."""
        return {
            "device": torch.cuda.get_device_name() if self.args.device == "cuda" else "CPU",
            "torch": torch.__version__,
            "data": gan_runs.describe_data(self.data),
            **{name: getattr(self.args, name) for name in ("width", "batch", "steps", "warmup")},
        }

    def time(self, setting: Setting, negatives: bool, steps: int, history: int = 0) -> tuple[Timing, str]:
        """Train by a setting; how long it took, and its precision."""
        runner = gan_runs.build(setting, self.args, self.data, self.work_dir, negatives=negatives)
        clock = LoopClock(self.args.warmup, steps, DISCRIMINATOR_STEPS, history)
        runner.register_hook(clock)
        runner.train()
        if clock.timing is None:
            raise RuntimeError("the training ended before the clock did")
        return clock.timing, precision_of(runner)

    def flops(self, negatives: bool) -> int:
        """Operations of an iteration, which no setting of the ladder changes."""
        if negatives not in self._flops:
            runner = gan_runs.build(SETTINGS["1"], self.args, self.data, self.work_dir, negatives=negatives)
            hook = FlopHook(DISCRIMINATOR_STEPS)
            runner.register_hook(hook)
            runner.train()
            self._flops[negatives] = hook.flops
        return self._flops[negatives]

    def speed(self, precision: str) -> float:
        """Operations a second of the device in a precision."""
        if precision not in self._speeds:
            gan_runs.set_precision(precision)
            self._speeds[precision] = matmul_speed(self.args.device, precision)
        return self._speeds[precision]

    def measure(self, rung: str, setting: Setting, negatives: bool) -> Row:
        """One row, unless it was measured before; one that fails says how, and leaves the others to be measured."""
        for row in self.rows:
            if (row.rung, row.negatives) == (rung, negatives):
                return row
        row = Row(rung, setting.name, negatives, steps=self.args.steps)
        self.rows.append(row)
        try:
            flops = self.flops(negatives)
            if self.args.device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            timing, row.precision = self.time(setting, negatives, self.args.steps)
            if self.args.device == "cuda":
                row.memory_gib = torch.cuda.max_memory_allocated() / 2**30
            self._fill(row, timing, flops)
        except Exception as error:
            traceback.print_exc()
            row.error = f"{type(error).__name__}: {error}"
        finally:
            _clean(self.args.device)
        return row

    def _fill(self, row: Row, timing: Timing, flops: int) -> None:
        row.milliseconds, row.median, row.slowest_tenth = timing.milliseconds, timing.median, timing.slowest_tenth
        row.images_per_second = DISCRIMINATOR_STEPS * self.args.batch * 1e3 / timing.milliseconds
        row.teraflop = flops / 1e12
        row.share_of_arithmetic = flops / self.speed(row.precision) * 1e3 / timing.milliseconds

    def time_schedule(self, steps: int) -> None:
        """Hours of the published schedule by the shipped recipe with negatives.

        Half of it is taken as its beginning is, half as its end, when mmengine's histories of the logged scalars are as
        long as they get.
        """
        ends = {"first": 0, "last": SCHEDULE * DISCRIMINATOR_STEPS}
        times = {}
        for name, history in ends.items():
            times[f"milliseconds_{name}"] = self.time(SETTINGS["shipped"], True, steps, history)[0].milliseconds
            _clean(self.args.device)
        hours = SCHEDULE * sum(times.values()) / len(times) / 3.6e6
        self.schedule = {"timed_steps": steps, **times, "schedule_hours": hours}

    def report(self) -> dict[str, Any]:
        """Everything, for the files; rows in the order of the ladder."""
        order = list(SETTINGS)
        self.rows.sort(key=lambda row: (order.index(row.rung), row.negatives))
        compare(self.rows)
        return {
            **self._conditions(),
            "settings": {
                key: str(value) if isinstance(value, Path) else value for key, value in vars(self.args).items()
            },
            "matmul_teraflops": {name: speed / 1e12 for name, speed in self._speeds.items()},
            "rows": [asdict(row) for row in self.rows],
            "schedule": self.schedule,
            "bars": check_bars(self.rows, self.schedule),
        }


def _clean(device: str) -> None:
    gc.collect()
    if "torch._dynamo" in sys.modules:  # importing it takes seconds
        torch.compiler.reset()
    if device == "cuda":
        torch.cuda.empty_cache()


def measure_all(benchmark: Benchmark, args: argparse.Namespace) -> bool:
    """Measure what was asked for, as long as there is time; whether all of it was."""
    kinds = {"both": [False, True], "with": [True], "without": [False]}[args.negatives]
    start, longest = time.monotonic(), 0.0

    def in_time() -> bool:
        return args.minutes is None or time.monotonic() - start + longest < 60 * args.minutes

    for rung in args.rungs:
        for negatives in kinds:
            begun = time.monotonic()
            if not in_time():
                return False
            row = benchmark.measure(rung, SETTINGS[rung], negatives)
            longest = max(longest, time.monotonic() - begun)
            took = row.error or f"{row.milliseconds:.1f} ms"
            print(f"{rung} {row.setting}, {'with' if negatives else 'without'} negatives: {took}", flush=True)
            if args.out:
                write(benchmark.report(), args.out)
    if args.schedule_steps and (benchmark.schedule or {}).get("timed_steps") != args.schedule_steps:
        shipped = next(
            (row.milliseconds for row in benchmark.rows if (row.rung, row.negatives) == ("shipped", True)), None
        )
        longest += 2 * args.schedule_steps * (shipped or 0.0) / 1e3
        if not in_time():
            return False
        benchmark.time_schedule(args.schedule_steps)
    return True


def main() -> int:
    """Measure, write, print; the exit status."""
    args = parse_args()
    gan_runs.choose_device(args)
    with tempfile.TemporaryDirectory() as folder:
        benchmark = Benchmark(args, Path(folder))
        complete = measure_all(benchmark, args)
        report = benchmark.report()
    if args.out:
        write(report, args.out)
    print(markdown(report))
    if not complete:
        return MORE_TO_DO
    failed = any(row.error for row in benchmark.rows) or any(bar["met"] is False for bar in report["bars"].values())
    return int(args.check and failed)


if __name__ == "__main__":
    sys.exit(main())
