"""Samples of the generator from the same noise, sheet after sheet, so that progress can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.runner import Runner

from nda_mm.generation import sample_classes
from nda_mm.registry import HOOKS
from nda_mm.utils.image_grid import image_grid

from .full_disk import save_sheet
from .sheet_hook import SheetHook


@HOOKS.register_module()
class SampleSheetHook(SheetHook):
    """Writes a sheet of generated images every few iterations: a row for each class, always from the same noise.

    The noise comes from a generator of the hook's own, seeded once, so the sheets of a resumed run continue those
    before the interruption, and training draws what it would have drawn without them.

    Args:
        interval (int): Iterations of the runner between two sheets; the last iteration always gets one.
        samples_per_class (int): Images in a row of a conditional model; an unconditional one gets that many rows of
            that many. Defaults to 8.
        sample_model (str): ``'ema'`` or ``'orig'``; a model without a moving average falls back on ``'orig'``. Defaults
            to ``'ema'``.
        use_batch_statistics (bool): See :func:`nda_mm.generation.sample_images`. Defaults to False.
        max_classes (int): Rows at most. Defaults to 20.
        scale (int): Size of an image's pixel on the sheet, in pixels. Defaults to 2.
        seed (int): Of the noise. Defaults to 0.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.SampleSheetHook', interval=2000)]

        writes ``samples/iter_2000.png`` and so on into the work directory.
    """

    def __init__(
        self,
        interval: int,
        samples_per_class: int = 8,
        sample_model: str = "ema",
        use_batch_statistics: bool = False,
        max_classes: int = 20,
        scale: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__(interval, sample_model, seed)
        if samples_per_class < 1 or max_classes < 1:
            raise ValueError(
                f"samples_per_class and max_classes must be at least 1, but are {samples_per_class} and {max_classes}."
            )
        self.samples_per_class = samples_per_class
        self.use_batch_statistics = use_batch_statistics
        self.max_classes = max_classes
        self.scale = scale

    def draw(self, runner: Runner, model: Any, path: Path) -> None:
        """Write the sheet of a model to a path, and show it to the visualizer."""
        known = getattr(model, "num_classes", None) or 1
        images, label = sample_classes(
            model,
            self.samples_per_class,
            range(min(known, self.max_classes)) if known > 1 else None,
            seed=self.seed,
            sample_model=self.sample_model_of(model),
            use_batch_statistics=self.use_batch_statistics,
        )
        names = (runner.visualizer.dataset_meta or {}).get("classes", ())
        shown = label[:: self.samples_per_class].tolist()
        row_labels = [str(names[row]) for row in shown] if 1 < known <= len(names) else None
        sheet = image_grid(images, columns=self.samples_per_class, row_labels=row_labels, scale=self.scale)
        save_sheet(lambda file: sheet.save(file, "PNG"), path)
        runner.visualizer.add_image("samples", np.asarray(sheet), step=runner.iter + 1)
