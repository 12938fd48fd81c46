"""Profile a training: Python functions with cProfile, then operations with torch's profiler.

    python tools/benchmarks/profile_gan.py nda_biggan_digits.py
    python tools/benchmarks/profile_gan.py nda_biggan_digits.py --cfg-options channels_last=False
    python tools/benchmarks/profile_gan.py nda_biggan_cifar10.py --trace trace.json    # for a trace viewer

The training is run twice, as tools/train.py runs it. Validation and checkpoints are left out, since they are rare and
depend on the disk.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import tempfile
from pathlib import Path
from typing import Any

from nda_mm.command_line import add_common_options


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.set_defaults(seed=0, resume=None, amp_dtype=None)
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--steps", type=int, default=30, help="iterations to profile (default: 30)")
    parser.add_argument("--warmup", type=int, default=10, help="iterations before them, at least 1 (default: 10)")
    parser.add_argument("--top", type=int, default=40, help="rows per table (default: 40)")
    parser.add_argument("--trace", type=Path, help="write the trace of torch's profiler to this file")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.profiler import profile

from nda_mm.engine import launch


class ProfilerHook(Hook):
    """Profiles a number of iterations after a warm-up, then ends the training.

    Args:
        profiler: The profiler, a context manager.
        warmup: Iterations before the profiler starts.
        steps: Iterations to profile.
    """

    priority = "LOWEST"

    def __init__(self, profiler: Any, warmup: int, steps: int) -> None:
        self.profiler, self.first, self.last = profiler, warmup, warmup + steps

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Start or stop the profiler."""
        if runner.iter + 1 == self.first:
            self.profiler.__enter__()
        if runner.iter + 1 == self.last:
            self.profiler.__exit__(None, None, None)
            runner.train_loop.stop_training = True


def run(args: argparse.Namespace, profiler: Any) -> None:
    """Train until the profiler has stopped."""
    cfg = launch.prepare_training(args)
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.default_hooks.checkpoint = None
    cfg.experiment_name = type(profiler).__name__  # mmengine keeps one record per experiment name
    runner = launch.build_runner(cfg)
    runner.register_hook(ProfilerHook(profiler, args.warmup, args.steps))
    runner.train()


def main() -> int:
    """Profile the training twice and print the tables."""
    args = parse_args()
    python, operations = cProfile.Profile(), profile()
    with tempfile.TemporaryDirectory() as folder:
        args.work_dir = args.work_dir or folder
        run(args, python)
        run(args, operations)
    for order in ("cumulative", "tottime"):
        pstats.Stats(python).sort_stats(order).print_stats(args.top)
    device = "device" if torch.cuda.is_available() else "cpu"
    print(operations.key_averages().table(sort_by=f"self_{device}_time_total", row_limit=args.top))
    if args.trace:
        operations.export_chrome_trace(str(args.trace))
    return 0


if __name__ == "__main__":
    sys.exit(main())
