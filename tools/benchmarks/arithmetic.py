"""What the arithmetic of a training iteration allows: its floating-point operations, and the device's speed at them."""

from __future__ import annotations

import time
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

DTYPES = {"bf16": torch.bfloat16}


class FlopHook(Hook):
    """Counts the operations of one full generator iteration of a training, then ends it.

    Counted are matrix products and convolutions, forward and backward, an addition and a multiplication as two. What
    else there is (activations, normalisation, the optimizers) is bound by memory, not by arithmetic.

    Args:
        discriminator_steps: Iterations of the runner to one of the generator.
    """

    priority = "HIGHEST"

    def __init__(self, discriminator_steps: int) -> None:
        self.discriminator_steps = discriminator_steps
        self.counter = FlopCounterMode(display=False)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Begin to count."""
        if runner.iter == 0:
            self.counter.__enter__()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """End to count."""
        if runner.iter + 1 == self.discriminator_steps:
            self.counter.__exit__(None, None, None)
            runner.train_loop.stop_training = True

    @property
    def flops(self) -> int:
        """What was counted."""
        return self.counter.get_total_flops()


def matmul_speed(device: str, precision: str, size: int | None = None, rounds: int = 10) -> float:
    """Operations a second of a square matrix product, the best of some rounds: measured, not from a data sheet.

    Args:
        device: 'cpu' or 'cuda'.
        precision: 'bf16', or one of float32, whose TF32 setting is the process's.
        size: Rows. Defaults to 8192 on a GPU and 512 on a CPU.
        rounds: How often; the first does not count.
    """
    cuda = device == "cuda"
    size = size or (8192 if cuda else 512)
    dtype = DTYPES.get(precision, torch.float32)
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    times = []
    for _ in range(rounds + 1):
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        left @ right
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 2 * size**3 / min(times[1:])
