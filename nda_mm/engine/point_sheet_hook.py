"""Generated points over real ones and negatives, plot after plot, so that progress can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.runner import Runner
from torch import Tensor

from nda_mm.generation import generator_of
from nda_mm.registry import HOOKS

from .full_disk import save_sheet
from .sheet_hook import SheetHook


@HOOKS.register_module()
class PointSheetHook(SheetHook):
    """Plots points of a GAN of the plane every few iterations: real ones, negatives if any, and generated ones.

    What :class:`~nda_mm.engine.sample_sheet_hook.SampleSheetHook` is for images: noise and negatives come from
    generators of the hook's own, so training draws what it would have drawn without it.

    Args:
        interval (int): Iterations of the runner between two plots; the last iteration always gets one.
        num_points (int): Of each kind. Defaults to 1000.
        sample_model (str): ``'ema'`` or ``'orig'``; a model without a moving average falls back on ``'orig'``. Defaults
            to ``'ema'``.
        limit (float): Both axes go from -limit to limit. Defaults to 1.5.
        seed (int): Of noise and negatives. Defaults to 0.

    Example:
        In a config::

            custom_hooks = [dict(type='nda_mm.PointSheetHook', interval=500)]

        writes ``samples/iter_500.png`` and so on into the work directory.
    """

    def __init__(
        self,
        interval: int,
        num_points: int = 1000,
        sample_model: str = "ema",
        limit: float = 1.5,
        seed: int = 0,
    ) -> None:
        super().__init__(interval, sample_model, seed)
        if num_points < 2 or not limit > 0:
            raise ValueError(f"num_points must be at least 2 and limit above 0, but they are {num_points} and {limit}.")
        self.num_points = num_points
        self.limit = limit

    def draw(self, runner: Runner, model: Any, path: Path) -> None:
        """Write the plot of a model to a path."""
        self.plot(self.points(model, runner.train_dataloader.dataset), path, f"after {runner.iter + 1} steps")

    @torch.no_grad()
    def points(self, model: Any, dataset: Any) -> dict[str, Tensor]:
        """The points of each kind that a plot shows. Shape of each: (num_points, 2)."""
        count = min(self.num_points, len(dataset))
        real = torch.stack([torch.from_numpy(dataset.get_data_info(index)["gt"]) for index in range(count)])
        real = real.permute(0, 3, 1, 2).to(model.device)  # (N, 1, 1, 2), as the networks see them
        found = {"real": real}
        if getattr(model, "negative", None) is not None:
            draw = torch.Generator(real.device).manual_seed(self.seed)
            found["negative"] = model.negative(real, generator=draw)
        generator: Any = generator_of(model, self.sample_model_of(model))
        noise = torch.randn(self.num_points, model.noise_size, generator=torch.Generator().manual_seed(self.seed))
        inner = generator.module if hasattr(generator, "module") else generator
        found["generated"] = inner(noise.to(model.device), return_noise=False)
        return {name: points.flatten(1).cpu() for name, points in found.items()}

    def plot(self, points: dict[str, Tensor], path: Path, title: str) -> None:
        """Write the points as one plot."""
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ModuleNotFoundError(f"the plot needs matplotlib ({error}): pip install 'nda_mm[gan]'") from error
        figure = Figure(figsize=(3.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        colours = dict(real="0.75", negative="C1", generated="C0")
        for name, values in points.items():
            axes.plot(values[:, 0], values[:, 1], ".", color=colours[name], label=name, markersize=2)
        axes.set(xlim=(-self.limit, self.limit), ylim=(-self.limit, self.limit), aspect="equal", title=title)
        axes.legend(loc="center", markerscale=4, frameon=False)
        save_sheet(lambda file: figure.savefig(file, dpi=100), path)
