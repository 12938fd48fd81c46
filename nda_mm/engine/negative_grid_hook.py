"""A picture of what the discriminator is told to reject, written before the first step."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from nda_mm.generation import as_rgb
from nda_mm.registry import HOOKS
from nda_mm.utils.image_grid import image_grid

from .full_disk import save_sheet


@HOOKS.register_module()
class NegativeGridHook(Hook):
    """Writes real training images above the negatives made from them, once, from the first batch of the run.

    It looks at the very batch that the discriminator is about to see, after all augmentation, and draws from a
    generator of its own, so that a run with it and one without end in the same weights. A model without negatives is
    passed over.

    Args:
        num_images (int): Real images on the sheet. Defaults to 16.
        seed (int): Of the negatives' draws. Defaults to 0.
        scale (int): Size of an image's pixel on the sheet, in pixels. Defaults to 2.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.NegativeGridHook', num_images=16)]

        writes ``negatives.png`` into the work directory.
    """

    priority = "NORMAL"

    def __init__(self, num_images: int = 16, seed: int = 0, scale: int = 2) -> None:
        if num_images < 2:
            raise ValueError(f"num_images must be at least 2, as most negatives need a partner, but is {num_images}.")
        self.num_images = num_images
        self.seed = seed
        self.scale = scale
        self._done = False

    @master_only
    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Write the sheet at the first iteration that this process runs."""
        if self._done:
            return
        self._done = True
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        negative = getattr(model, "negative", None)
        if negative is None:
            return
        # The preprocessor normalises the samples in place, and the training step still needs them as they are.
        head = {key: deepcopy(_first(value, self.num_images)) for key, value in data_batch.items()}
        processed = model.data_preprocessor(head, True)
        # A translator makes its negatives of the targets, which are among the inputs.
        targets = getattr(model, "target_images", None)
        real = processed["data_samples"].gt_img if targets is None else targets(processed)
        if len(real) < 2:
            print_log("A batch of one image has no partner to make negatives of: no sheet is written.", "current")
            return
        generator = torch.Generator(real.device).manual_seed(self.seed)
        with torch.no_grad():
            made = negative(real, generator=generator)
        columns = min(8, len(real))
        count = len(real) // columns * columns  # whole rows, or the last real images and negatives would share one
        real, made = real[:count], made[:count]
        rows = [half for part in zip(real.split(columns), made.split(columns), strict=True) for half in part]
        names = ["real", "negative"] * (len(rows) // 2)
        sheet = image_grid(
            as_rgb(model.data_preprocessor, torch.cat(rows)).cpu(), columns=columns, row_labels=names, scale=self.scale
        )
        path = Path(runner.work_dir) / "negatives.png"
        save_sheet(lambda file: sheet.save(file, "PNG"), path)
        runner.visualizer.add_image("negatives", np.asarray(sheet), step=runner.iter)
        print_log(f"Real images and their negatives: {path}", "current")


def _first(batch: Any, count: int) -> Any:
    """The first samples of a collated batch: a list or tensor of them, a stacked data element, or a dict of such."""
    if isinstance(batch, dict):
        return {key: _first(value, count) for key, value in batch.items()}
    if isinstance(batch, BaseDataElement):
        head = type(batch)(metainfo={key: value[:count] for key, value in batch.metainfo_items()})
        head.set_data({key: _first(value, count) for key, value in batch.items()})
        return head
    return batch[:count]
