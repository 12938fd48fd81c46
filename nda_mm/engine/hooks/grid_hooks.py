"""Hooks that write pictures of a GAN's training: samples, translations, points and negatives.

They draw random numbers from separate generators, so training draws the same numbers with and without them. They run
before the checkpoint hook, so each checkpoint has its picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from nda_mm.engine.resume import model_of
from nda_mm.functional.checks import check_choice, check_positive
from nda_mm.models.gans.sampling import SAMPLE_MODELS, as_rgb, generator_of, sample_classes
from nda_mm.registry import HOOKS
from nda_mm.utils.files import write_atomically
from nda_mm.utils.image_grid import image_grid


def _save_grid(runner: Runner, grid: Any, path: str, step: int) -> Path:
    """Save a picture in the work directory and add it to the visualizer, named after the path's first part."""
    target = Path(runner.work_dir) / path
    _save_picture(lambda file: grid.save(file, "PNG"), target)
    runner.visualizer.add_image(Path(path).parts[0].removesuffix(".png"), np.asarray(grid), step=step)
    return target


def _save_picture(write: Callable[[BinaryIO], Any], path: Path) -> None:
    """Write a picture atomically. If that fails, as on a full disk, log a warning and continue training."""
    try:
        write_atomically(path, write)
    except OSError as error:
        message = f"{path} could not be written: {error}. Training continues."
        print_log(message, logger="current", level=logging.WARNING)


@HOOKS.register_module(name=["SampleGridHook", "SampleSheetHook"])
class SampleGridHook(Hook):
    """Write a grid of generated images every few iterations: one row per class, always from the same noise.

    Args:
        interval: Iterations between two grids. One is always written after the last iteration.
        samples_per_class: Images per row. An unconditional model gets as many rows, too. Defaults to 8.
        sample_model: ``'ema'`` or ``'orig'``; a model without an EMA falls back to ``'orig'``. Defaults to
            ``'ema'``.
        use_batch_statistics: See :func:`nda_mm.models.gans.sampling.sample_images`. Defaults to False.
        max_classes: Maximum number of classes in the grid. Defaults to 20.
        scale: Zoom factor of the images. Defaults to 2.
        seed: Seed for the noise. Defaults to 0.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.SampleGridHook', interval=2000)]

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
        self.interval = interval
        self.samples_per_class = samples_per_class
        self.sample_model = check_choice(sample_model, "sample_model", SAMPLE_MODELS)
        self.use_batch_statistics = use_batch_statistics
        self.max_classes = max_classes
        self.scale = scale
        self.seed = seed

    @master_only
    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a grid at each interval and after the last iteration."""
        if self.every_n_train_iters(runner, self.interval) or self.is_last_train_iter(runner):
            model = model_of(runner)
            sample_model = self.sample_model if model.with_ema_gen else "orig"
            self.draw(runner, model, sample_model, f"samples/iter_{runner.iter + 1}.png")

    def draw(self, runner: Runner, model: Any, sample_model: str, path: str) -> None:
        """Generate images and write them as a grid."""
        known = getattr(model, "num_classes", None) or 1
        images, label = sample_classes(
            model,
            self.samples_per_class,
            range(min(known, self.max_classes)) if known > 1 else None,
            seed=self.seed,
            sample_model=sample_model,
            use_batch_statistics=self.use_batch_statistics,
        )
        # Label the rows with the data set's class names, if it has a name for every class.
        names = (runner.visualizer.dataset_meta or {}).get("classes", ())
        shown = label[:: self.samples_per_class].tolist()
        row_labels = [str(names[row]) for row in shown] if 1 < known <= len(names) else None
        grid = image_grid(images, columns=self.samples_per_class, row_labels=row_labels, scale=self.scale)
        _save_grid(runner, grid, path, runner.iter + 1)


@HOOKS.register_module(name=["PointGridHook", "PointSheetHook"])
class PointGridHook(SampleGridHook):
    """Plot points of a GAN on 2-D data every few iterations: real ones, negatives if any, and generated ones.

    Args:
        interval: Iterations between two plots. One is always written after the last iteration.
        num_points: Number of points of each kind. Defaults to 1000.
        sample_model: ``'ema'`` or ``'orig'``; a model without an EMA falls back to ``'orig'``. Defaults to
            ``'ema'``.
        limit: Both axes range from -limit to limit. Defaults to 1.5.
        seed: Seed for the noise and the negatives. Defaults to 0.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.PointGridHook', interval=500)]

        writes ``samples/iter_500.png`` and so on into the work directory.
    """

    def __init__(
        self, interval: int, num_points: int = 1000, sample_model: str = "ema", limit: float = 1.5, seed: int = 0
    ) -> None:
        super().__init__(interval, sample_model=sample_model, seed=seed)
        self.num_points = num_points
        self.limit = check_positive(limit, "limit")

    def draw(self, runner: Runner, model: Any, sample_model: str, path: str) -> None:
        """Plot the points."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(3.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        colors = dict(real="0.75", negative="C1", generated="C0")
        for name, points in self.points(model, sample_model, runner.train_dataloader.dataset).items():
            axes.plot(points[:, 0], points[:, 1], ".", color=colors[name], label=name, markersize=2)
        limits = (-self.limit, self.limit)
        axes.set(xlim=limits, ylim=limits, aspect="equal", title=f"after {runner.iter + 1} steps")
        axes.legend(loc="center", markerscale=4, frameon=False)
        _save_picture(lambda file: figure.savefig(file, dpi=100), Path(runner.work_dir) / path)

    @torch.no_grad()
    def points(self, model: Any, sample_model: str, dataset: Any) -> dict[str, Tensor]:
        """Return the points to plot, by kind. Shape of each: (num_points, 2)."""
        count = min(self.num_points, len(dataset))
        real = torch.stack([torch.from_numpy(dataset.get_data_info(index)["gt"]) for index in range(count)])
        real = real.permute(0, 3, 1, 2).to(model.device)  # (N, 1, 1, 2), as the networks see them
        found = {"real": real}
        if getattr(model, "negative", None) is not None:
            found["negative"] = model.negative(real, generator=torch.Generator(real.device).manual_seed(self.seed))
        generator: Any = generator_of(model, sample_model)
        noise = torch.randn(self.num_points, model.noise_size, generator=torch.Generator().manual_seed(self.seed))
        found["generated"] = getattr(generator, "module", generator)(noise.to(model.device), return_noise=False)
        return {name: points.flatten(1).cpu() for name, points in found.items()}


@HOOKS.register_module(name=["TranslationGridHook", "TranslationSheetHook"])
class TranslationGridHook(Hook):
    """Write a grid at every evaluation of an image translator: one row of input, output and target per image.

    The images are the first ones that the evaluation generates, so nothing is generated for the grid alone.

    Args:
        source: Domain of the inputs.
        target: Domain of the outputs.
        num_images: Number of images, one per row. Defaults to 8.
        scale: Zoom factor of the images. Defaults to 1.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.TranslationGridHook', source='edge', target='digit')]

        writes ``translations/iter_2000.png`` and so on into the work directory, or ``translations/test.png`` in a test.
    """

    def __init__(self, source: str, target: str, num_images: int = 8, scale: int = 1) -> None:
        self.source, self.target = source, target
        self.num_images = num_images
        self.scale = scale

    def before_val_epoch(self, runner: Runner) -> None:
        """Start a new grid."""
        self._rows: list[Tensor] = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Collect images until there are ``num_images``."""
        wanted = (f"img_{self.source}", f"fake_{self.target}", f"img_{self.target}")
        for sample in list(outputs or ())[: self.num_images - len(self._rows)]:
            # mmagic's images are BGR in [0, 255]
            images = torch.stack([sample.get(name).detach().cpu().float().flip(0) for name in wanted])
            self._rows.append(images.round().clamp(0, 255).to(torch.uint8))

    before_test_epoch = before_val_epoch
    after_test_iter = after_val_iter

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the grid of an evaluation during training."""
        self._draw(runner, f"translations/iter_{runner.iter}.png")

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Write the grid of a test."""
        self._draw(runner, "translations/test.png")

    @master_only
    def _draw(self, runner: Runner, path: str) -> None:
        if self._rows:
            labels = [self.source, "output", self.target]
            grid = image_grid(torch.cat(self._rows), columns=3, column_labels=labels, scale=self.scale)
            _save_grid(runner, grid, path, runner.iter)


@HOOKS.register_module()
class NegativeGridHook(Hook):
    """Write a grid of real training images above the negatives made from them, once at the start of the run.

    The grid shows the batch of the first discriminator step. The hook does nothing for a model without negatives.

    Args:
        num_images: Number of real images in the grid; most negatives need at least 2. Defaults to 16.
        seed: Seed for the negatives. Defaults to 0.
        scale: Zoom factor of the images. Defaults to 2.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.NegativeGridHook', num_images=16)]

        writes ``negatives.png`` into the work directory.
    """

    def __init__(self, num_images: int = 16, seed: int = 0, scale: int = 2) -> None:
        self.num_images = num_images
        self.seed = seed
        self.scale = scale
        self._done = False

    @master_only
    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Write the grid at the first iteration that this process runs."""
        model = model_of(runner)
        negative = getattr(model, "negative", None)
        if self._done or negative is None:
            return
        self._done = True
        # Make the negatives of the first step, from a copy, since the preprocessor normalizes samples in place.
        processed = model.data_preprocessor(deepcopy(data_batch), True)
        # A translator makes negatives from the targets, which are among the inputs.
        targets = getattr(model, "target_images", None)
        real = (processed["data_samples"].gt_img if targets is None else targets(processed))[: self.num_images]
        with torch.no_grad():
            made = negative(real, generator=torch.Generator(real.device).manual_seed(self.seed))
        # Arrange rows of real images, each above its negatives.
        columns = min(8, len(real))
        count = len(real) // columns * columns  # whole rows only, else real images and negatives share the last one
        real, made = real[:count], made[:count]
        rows = [half for part in zip(real.split(columns), made.split(columns), strict=True) for half in part]
        images = as_rgb(model.data_preprocessor, torch.cat(rows)).cpu()
        names = ["real", "negative"] * (len(rows) // 2)
        grid = image_grid(images, columns=columns, row_labels=names, scale=self.scale)
        path = _save_grid(runner, grid, "negatives.png", runner.iter)
        print_log(f"Real images and their negatives: {path}", "current")
