"""Inputs, outputs and targets of a translator side by side, sheet after sheet, so that progress can be seen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from nda_mm.registry import HOOKS
from nda_mm.utils.image_grid import image_grid

from .full_disk import save_sheet


@HOOKS.register_module()
class TranslationSheetHook(Hook):
    """Writes a sheet at every evaluation of a translator: a row of input, output and target for each image.

    The images are those that the evaluation makes anyway, the first of its loader, so nothing is drawn for them.

    Args:
        source (str): Domain of the inputs.
        target (str): Domain of the outputs.
        num_images (int): Rows. Defaults to 8.
        scale (int): Size of an image's pixel on the sheet, in pixels. Defaults to 1.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.TranslationSheetHook', source='edge', target='digit')]

        writes ``translations/iter_2000.png`` and so on into the work directory, after a test ``translations/test.png``.
    """

    priority = "NORMAL"

    def __init__(self, source: str, target: str, num_images: int = 8, scale: int = 1) -> None:
        if num_images < 1 or scale < 1:
            raise ValueError(f"num_images and scale must be at least 1, but are {num_images} and {scale}.")
        self.source, self.target = source, target
        self.num_images = num_images
        self.scale = scale
        self._rows: list[Tensor] = []

    def _forget(self, runner: Runner) -> None:
        self._rows = []

    before_val_epoch = before_test_epoch = _forget

    def _collect(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        wanted = (f"img_{self.source}", f"fake_{self.target}", f"img_{self.target}")
        for sample in list(outputs or ())[: self.num_images - len(self._rows)]:
            # mmagic gives them as BGR in [0, 255]
            images = [sample.get(name).detach().cpu().float().flip(0) for name in wanted]
            self._rows.append(torch.stack(images).round().clamp(0, 255).to(torch.uint8))

    after_val_iter = after_test_iter = _collect

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the sheet of an evaluation during training."""
        self._write(runner, f"iter_{runner.iter}.png")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the sheet of a test."""
        self._write(runner, "test.png")

    @master_only
    def _write(self, runner: Runner, name: str) -> None:
        if not self._rows:
            return
        sheet = image_grid(
            torch.cat(self._rows), columns=3, column_labels=[self.source, "output", self.target], scale=self.scale
        )
        save_sheet(lambda file: sheet.save(file, "PNG"), Path(runner.work_dir) / "translations" / name)
        runner.visualizer.add_image("translations", np.asarray(sheet), step=runner.iter)
