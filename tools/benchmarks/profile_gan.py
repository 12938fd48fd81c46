"""Where the time of a training goes: functions of Python by cProfile, then operations by torch's profiler.

    python tools/benchmarks/profile_gan.py nda_biggan_digits.py
    python tools/benchmarks/profile_gan.py nda_biggan_digits.py --cfg-options channels_last=False
    python tools/benchmarks/profile_gan.py nda_biggan_cifar10.py --trace trace.json    # for a viewer

The training is run twice as tools/train.py runs it, without validation and checkpoints, which a schedule has rarely and
whose cost is the disk's.
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
    parser.add_argument("--amp", action="store_true", help="in mixed precision")
    parser.add_argument("--steps", type=int, default=30, help="iterations to look at (default 30)")
    parser.add_argument("--warmup", type=int, default=10, help="iterations before them, at least 1 (default 10)")
    parser.add_argument("--top", type=int, default=40, help="rows of each table (default 40)")
    parser.add_argument("--trace", type=Path, help="write the trace of torch's profiler to this file")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.profiler import profile

from nda_mm.engine import launch


class ProfilerHook(Hook):
    """Profiles a number of iterations after some that do not count, then ends the training.

    Args:
        profiler: A context manager.
        warmup: Iterations before it is entered.
        steps: Iterations within it.
    """

    priority = "LOWEST"

    def __init__(self, profiler: Any, warmup: int, steps: int) -> None:
        self.profiler, self.first, self.last = profiler, warmup, warmup + steps

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Enter or leave."""
        if runner.iter + 1 == self.first:
            self.profiler.__enter__()
        if runner.iter + 1 == self.last:
            self.profiler.__exit__(None, None, None)
            runner.train_loop.stop_training = True


def run(args: argparse.Namespace, profiler: Any) -> None:
    """Train for as long as the profiler looks."""
    cfg = launch.prepare_training(args)
    cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
    cfg.default_hooks.checkpoint = None
    cfg.experiment_name = type(profiler).__name__  # runs of one name share mmengine's record
    runner = launch.build_runner(cfg)
    runner.register_hook(ProfilerHook(profiler, args.warmup, args.steps))
    runner.train()


def main() -> int:
    """Profile twice and print."""
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
