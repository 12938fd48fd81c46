"""What the hooks share that show a GAN's samples while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from nda_mm.generation import SAMPLE_MODELS

__all__ = ["SheetHook"]


class SheetHook(Hook):
    """Calls :meth:`draw` every few iterations and after the last, with the path that the sheet goes to.

    Args:
        interval (int): Iterations of the runner between two sheets; the last iteration always gets one.
        sample_model (str): ``'ema'`` or ``'orig'``; a model without a moving average falls back on ``'orig'``.
        seed (int): Of the noise, which is the same for every sheet.

    Raises:
        ValueError: If the interval is below 1 or the name unknown.
    """

    # Before the checkpoint, so that a sheet exists of every saved model.
    priority = "NORMAL"

    def __init__(self, interval: int, sample_model: str, seed: int) -> None:
        if interval < 1:
            raise ValueError(f"interval must be at least 1, but is {interval}.")
        if sample_model not in SAMPLE_MODELS:
            raise ValueError(f"sample_model must be one of {SAMPLE_MODELS}, but came as {sample_model!r}.")
        self.interval = interval
        self.sample_model = sample_model
        self.seed = seed

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a sheet where the interval says so, and after the last iteration."""
        if not (self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner)):
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = Path(runner.work_dir) / "samples" / f"iter_{runner.iter + 1}.png"
        self.draw(runner, model, path)

    def sample_model_of(self, model: Any) -> str:
        """Which generator of a model is shown."""
        return self.sample_model if model.with_ema_gen else "orig"

    def draw(self, runner: Runner, model: Any, path: Path) -> None:
        """Write the sheet of a model to a path, by :func:`~nda_mm.engine.full_disk.save_sheet`."""
        raise NotImplementedError(f"{type(self).__name__} must implement draw")
