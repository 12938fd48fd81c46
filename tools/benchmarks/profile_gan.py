"""Where the time of the CIFAR-10 BigGAN's training goes: its parts, its operations, its waits.

    python tools/benchmarks/profile_gan.py --device cuda                          # the recipe as shipped
    python tools/benchmarks/profile_gan.py --device cuda --rung 1 --json parts.json
    python tools/benchmarks/profile_gan.py --width 1 --made 512 --steps 5         # a CPU: what the host alone takes

The first table splits a full generator iteration (4 steps of the discriminator, one of the generator) by the host's
clock; on a GPU a second column waits for the device at every border, which gives each part the time of its own kernels
but lets nothing overlap. The second is torch.profiler's, of some iterations more: the operations that take longest, and
how often an iteration launches a kernel, copies to the device and waits for it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gan_ladder import DISCRIMINATOR_STEPS, SETTINGS, add_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument(
        "--rung", default="shipped", choices=list(SETTINGS), help="of gan_throughput.py (default: shipped)"
    )
    parser.add_argument("--plain", action="store_true", help="without negatives")
    parser.add_argument("--steps", type=int, default=10, help="iterations to look at (default 10)")
    parser.add_argument("--warmup", type=int, default=5, help="iterations before them (default 5)")
    parser.add_argument("--top", type=int, default=25, help="operations to list (default 25)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--trace", type=Path, help="write the profiler's trace to this file, for a viewer")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import gan_runs
import torch
from gan_parts import PartsHook, Stopwatch, watch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.profiler import ProfilerActivity, profile

#: Events of the profiler that tell what the host asks of a GPU, by the beginnings of their names.
COUNTED = {
    "operators": ("aten::",),
    "kernel launches": ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch"),
    "copies to the device": ("Memcpy HtoD",),
    "copies to the host": ("Memcpy DtoH",),
    "values read by the host": ("aten::_local_scalar_dense",),
    "waits for the device": ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize"),
}


class ProfilerHook(Hook):
    """Runs torch.profiler over some full generator iterations, then ends the training.

    Args:
        warmup: Generator iterations before.
        steps: Generator iterations to profile.
        cuda: Whether to record the device, too.
    """

    priority = "LOWEST"

    def __init__(self, warmup: int, steps: int, cuda: bool) -> None:
        self.warmup, self.steps = warmup, steps
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        self.profile = profile(activities=activities)
        self.seconds = 0.0

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Start, or stop, after a generator iteration."""
        step, rest = divmod(runner.iter + 1, DISCRIMINATOR_STEPS)
        if rest == 0 and step == self.warmup:
            self.profile.start()
            self.seconds = -time.perf_counter()
        if rest == 0 and step == self.warmup + self.steps:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter()
            self.profile.stop()
            runner.train_loop.stop_training = True


def build(args: argparse.Namespace, data: dict, folder: Path) -> Runner:
    """The run to look at."""
    return gan_runs.build(SETTINGS[args.rung], args, data, folder, negatives=not args.plain)


def measure_parts(args: argparse.Namespace, data: dict, folder: Path, synchronize: bool) -> list[dict[str, Any]]:
    """The table of the parts."""
    runner = build(args, data, folder)
    # One CPU thread is timed by the time it had the processor: other processes do not count.
    alone = args.device == "cpu" and torch.get_num_threads() == 1
    stopwatch = Stopwatch(synchronize, time.thread_time if alone else time.perf_counter)
    watch(runner, stopwatch, compiled=bool(runner.cfg.model.get("compile_networks")))
    runner.register_hook(PartsHook(stopwatch, args.warmup, args.steps, DISCRIMINATOR_STEPS))
    runner.train()
    return stopwatch.table(args.steps)


def measure_operations(args: argparse.Namespace, data: dict, folder: Path) -> dict[str, Any]:
    """The profiler's findings, each an iteration."""
    runner = build(args, data, folder)
    hook = ProfilerHook(args.warmup, args.steps, args.device == "cuda")
    runner.register_hook(hook)
    runner.train()
    events = hook.profile.key_averages()
    own = "self_device_time_total" if args.device == "cuda" else "self_cpu_time_total"
    longest = sorted(events, key=lambda event: -getattr(event, own))[: args.top]
    found: dict[str, Any] = {
        "operations": [
            {
                "name": event.key,
                "milliseconds": getattr(event, own) / 1e3 / args.steps,
                "calls": event.count / args.steps,
            }
            for event in longest
        ],
        "counts": {
            what: sum(event.count for event in events if event.key.startswith(names)) / args.steps
            for what, names in COUNTED.items()
        },
    }
    if args.device == "cuda":
        busy = sum(event.self_device_time_total for event in events) / 1e6
        found["device_busy"] = busy / hook.seconds
    if args.trace:
        hook.profile.export_chrome_trace(str(args.trace))
    return found


def text(report: dict[str, Any]) -> str:
    """Both tables."""
    waiting = report["parts_with_device"]
    lines = [f"{'part':<44} {'ms':>9} {'own ms':>9} {'calls':>7}"]
    for row in report["parts"]:
        figures = f"{row['milliseconds']:>9.3f} {row['own']:>9.3f} {row['calls']:>7.1f}"
        lines.append(f"{'  ' * row['depth'] + row['part']:<44} {figures}")
    if waiting:
        lines += ["", f"{'part, waiting for the device at its borders':<44} {'ms':>9} {'own ms':>9}"]
        for row in waiting:
            lines.append(f"{'  ' * row['depth'] + row['part']:<44} {row['milliseconds']:>9.3f} {row['own']:>9.3f}")
    lines += ["", f"{'operation':<70} {'ms':>9} {'calls':>7}"]
    for row in report["operations"]:
        lines.append(f"{row['name'][:70]:<70} {row['milliseconds']:>9.3f} {row['calls']:>7.1f}")
    lines += ["", "An iteration:", *(f"  {what:<26} {count:>9.1f}" for what, count in report["counts"].items())]
    if "device_busy" in report:
        lines.append(f"  device busy                {report['device_busy']:>9.1%}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write."""
    args = parse_args()
    gan_runs.choose_device(args)
    data = gan_runs.choose_data(args)
    with tempfile.TemporaryDirectory() as folder:
        report: dict[str, Any] = {
            "torch": torch.__version__,
            "data": gan_runs.describe_data(data),
            "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
            "parts": measure_parts(args, data, Path(folder), synchronize=False),
            "parts_with_device": (
                measure_parts(args, data, Path(folder), synchronize=True) if args.device == "cuda" else None
            ),
            **measure_operations(args, data, Path(folder)),
        }
    print(text(report))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
