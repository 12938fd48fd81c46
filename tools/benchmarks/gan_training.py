"""Time the training of the CIFAR-10 BigGAN as tools/train.py runs it, by precision and execution mode.

    python tools/benchmarks/gan_training.py --check                        # on a GPU, at full width
    python tools/benchmarks/gan_training.py --width 4 --batch 8 --steps 2  # tries the command on a CPU
    python tools/benchmarks/gan_training.py --only "bfloat16, CUDA graphs" --steps 2000

An iteration is four discriminator steps and one generator step, with everything around them: data, logs and the EMA.
Validation, checkpoints and sample grids are left out, since they are rare. "stock" is mmagic's model in mmengine's
loop, with four data loading workers. The images are noise, since the time does not depend on their content.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--width", type=int, default=64, help="base channels of both networks (default: 64, as in the paper)"
    )
    parser.add_argument("--batch", type=int, default=64, help="real images per step (default: 64)")
    parser.add_argument("--steps", type=int, default=30, help="iterations to time (default: 30)")
    parser.add_argument("--warmup", type=int, default=10, help="iterations before timing starts (default: 10)")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a row of the table to measure; can be repeated (default: all)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the results to this file, as JSON")
    parser.add_argument("--check", action="store_true", help="exit with status 1 if a bar is missed")
    args = parser.parse_args()
    args.device = ""  # set in main(), as the runner chooses it
    return args


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from paired_steps import rated, report
from torch.utils.flop_counter import FlopCounterMode

from nda_mm.command_line import read_config
from nda_mm.datasets import NoiseImages
from nda_mm.engine import launch
from nda_mm.engine.precision import enable_amp
from nda_mm.registry import DATASETS

RECIPES = ("biggan_cifar10.py", "nda_biggan_cifar10.py")
STOCK = "stock, float32"
AMP = "bfloat16"
#: Overrides of the recipe for each row.
SETTINGS: dict[str, dict[str, Any]] = {
    STOCK: {},
    "float32, channels first": {"channels_last": False, "model.cuda_graphs": False},
    "float32": {"model.cuda_graphs": False},
    "float32, CUDA graphs": {"model.cuda_graphs": True},
    AMP: {"model.cuda_graphs": False},
    f"{AMP}, CUDA graphs": {"model.cuda_graphs": True},
    f"{AMP}, compiled": {"model.cuda_graphs": False, "model.compile_networks": True},
    f"{AMP}, compiled, CUDA graphs": {"model.cuda_graphs": True, "model.compile_networks": True},
}
#: Largest allowed time of an iteration with negatives, in iterations without; smallest speed-up over the stock loop.
RATIO_BAR, SPEED_BAR = 1.35, 3.0


@DATASETS.register_module()
class LabeledNoise(NoiseImages):
    """Noise images in ten classes."""

    labeled = True

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw the images and labels."""
        images, _ = super().load_arrays()
        return images, np.arange(len(images)) % 10


class ClockHook(Hook):
    """Times a number of iterations after a warm-up, counts the operations of one more, and ends the training.

    Args:
        every: Runner iterations per timed iteration.
        warmup: Iterations before timing starts.
        steps: Iterations to time.
        count: Whether to count operations, which is not possible in captured and compiled networks.
    """

    priority = "LOWEST"

    def __init__(self, every: int, warmup: int, steps: int, count: bool) -> None:
        self.every, self.first, self.last, self.count = every, warmup, warmup + steps, count
        self.seconds = self.teraflop = 0.0
        self.counter = FlopCounterMode(display=False)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Start or stop the clock and the counter."""
        done, rest = divmod(runner.iter + 1, self.every)
        if rest or done not in (self.first, self.last, self.last + 1):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if done == self.first:
            self.start = now
        elif done == self.last:
            self.seconds = (now - self.start) / (self.last - self.first)
            if self.count:
                self.counter.__enter__()
        elif self.count:
            self.counter.__exit__(None, None, None)
            self.teraflop = self.counter.get_total_flops() / 1e12
        runner.train_loop.stop_training = done == self.last + self.count


def settings_of(recipe: str, name: str, args: argparse.Namespace) -> Config:
    """Return the config of a recipe with the settings of a row."""
    cfg = read_config(recipe, {} if name == STOCK else SETTINGS[name])
    for network in ("generator", "discriminator"):
        cfg.model[network].base_channels = args.width
    for stage in ("val", "test"):
        cfg.update({f"{stage}_{what}": None for what in ("cfg", "dataloader", "evaluator")})
    cfg.train_dataloader.batch_size = args.batch
    cfg.train_dataloader.dataset = dict(type="nda_mm.LabeledNoise", pipeline=[dict(type="PackInputs")])
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if "Grid" not in hook.type]
    cfg.log_level = "WARNING"
    cfg.launcher = "none"
    cfg.experiment_name = f"{name} {recipe}"  # mmengine keeps one record per experiment name
    if name.startswith(AMP):
        enable_amp(cfg.optim_wrapper, AMP)
    if name == STOCK:
        make_stock(cfg)
    return cfg


def make_stock(cfg: Config) -> None:
    """Replace our parts of the recipe with those of mmagic and mmengine."""
    cfg.channels_last = False
    cfg.model.type = "BigGAN"
    cfg.model.pop("uniform_biases")
    cfg.model.pop("cuda_graphs", None)
    cfg.model.data_preprocessor.type = "DataPreprocessor"
    cfg.model.ema_config.type = "ExponentialMovingAverage"
    cfg.model.discriminator.pop("blocks_cfg")
    cfg.train_cfg = dict(type="IterBasedTrainLoop", max_iters=cfg.train_cfg.max_iters)
    cfg.custom_hooks = []
    cfg.train_dataloader.update(num_workers=4, persistent_workers=True)
    cfg.default_hooks.runtime_info = dict(type="RuntimeInfoHook")


def measure(recipe: str, name: str, args: argparse.Namespace) -> ClockHook:
    """Train and return the clock."""
    torch._dynamo.reset()
    cfg = settings_of(recipe, name, args)
    count = "compiled" not in name and "graphs" not in name
    clock = ClockHook(cfg.model.discriminator_steps, args.warmup, args.steps, count)
    with tempfile.TemporaryDirectory() as cfg.work_dir:
        runner = launch.build_runner(cfg)
        runner.register_hook(clock)
        runner.train()
    return clock


def rows_of(args: argparse.Namespace) -> Iterator[dict]:
    """Measure and yield row by row."""
    stock = teraflop = None
    for name in args.only or SETTINGS:
        plain, *with_negatives = [measure(recipe, name, args) for recipe in (RECIPES[:1] if name == STOCK else RECIPES)]
        stock = plain.seconds if name == STOCK else stock
        row = dict(training=name, plain_ms=round(1e3 * plain.seconds, 2), met=True)
        for own in with_negatives:
            teraflop = own.teraflop or teraflop
            row |= dict(
                negatives_ms=round(1e3 * own.seconds, 2), **rated(round(own.seconds / plain.seconds, 3), RATIO_BAR)
            )
            row |= dict(images_per_second=round(4 * args.batch / own.seconds))
            row |= dict(tflop_per_second=round(teraflop / own.seconds, 1)) if teraflop else {}
        if stock:
            row |= dict(times_stock=round(stock / plain.seconds, 2))
        print(row, flush=True)
        yield row


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    args.device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = list(rows_of(args))
    fastest = max(row.get("times_stock", SPEED_BAR) for row in rows)
    return max(report(rows, args), int(args.check and fastest < SPEED_BAR))


if __name__ == "__main__":
    sys.exit(main())
