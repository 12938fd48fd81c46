"""``nda_mm.OffModes``: how many generated points lie outside the Gaussians that the data come from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.evaluation.mode_coverage import mode_coverage
from nda_mm.generation import generator_of
from nda_mm.registry import METRICS


@METRICS.register_module()
class OffModes(GeneratorMetric):
    """Share of generated points that break the rule of a mixture of Gaussians: to lie in one of its modes.

    Reported are ``points/outside``, 0 to 1, lower is better; ``points/modes``, the number of modes that have at least a
    fifth of their due, so that a generator that leaves the gaps by giving up a mode is seen; and
    ``points/outside_real`` of real points, the value of a perfect generator. See
    :func:`~nda_mm.evaluation.mode_coverage.mode_coverage`.

    Args:
        fake_nums: Number of generated points.
        within: Radius of a mode in deviations. Default 3.
        kwargs: ``sample_model``, ``seed``, ... of :class:`~nda_mm.evaluation.generator_metric.GeneratorMetric`.

    Raises:
        TypeError: At the first evaluation, if the real points are not of a data set with centres and a deviation, such
            as ``nda_mm.ToyGaussians``.

    Example:
        ``val_evaluator = dict(metrics=[dict(type='nda_mm.OffModes', fake_nums=10_000)])``
    """

    def __init__(self, fake_nums: int, *, within: float = 3.0, prefix: str = "points", **kwargs: Any) -> None:
        super().__init__(None, fake_nums, prefix=prefix, **kwargs)
        self.within = within
        self._centres, self._deviation, self._outside_real = torch.empty(0, 2), 1.0, float("nan")

    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Take the modes from the data set of real points, and look how many of its points lie outside."""
        super().prepare(module, dataloader)
        dataset: Any = dataloader.dataset
        if not hasattr(dataset, "centres") or not hasattr(dataset, "deviation"):
            raise TypeError(
                "OffModes needs a data set of points that knows its centres and its deviation, such as "
                f"nda_mm.ToyGaussians, but got {type(dataset).__name__}"
            )
        self._centres, self._deviation = torch.from_numpy(dataset.centres), dataset.deviation
        count = min(self.fake_nums, len(dataset))
        real = torch.stack([torch.from_numpy(dataset.get_data_info(index)["gt"]) for index in range(count)])
        self._outside_real = self._coverage(real).outside

    def _coverage(self, points: Tensor) -> Any:
        return mode_coverage(points.double().flatten(1), self._centres, self._deviation, within=self.within)

    def gather(self) -> Tensor:
        """This process's share of the points. Shape: (N, 1, 1, 2)."""
        generator: Any = generator_of(self.model, self.sample_model)
        was_training = generator.training
        generator.eval()
        try:
            inner = generator.module if hasattr(generator, "module") else generator
            made = [inner(noise.to(self.device), return_noise=False).cpu() for noise, _ in self.noise()]
        finally:
            generator.train(was_training)
        return torch.cat(made) if made else torch.empty(0, 1, 1, 2)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See :meth:`GeneratorMetric.compute_metrics`."""
        coverage = self._coverage(torch.cat(results))
        return dict(outside=coverage.outside, modes=float(coverage.covered), outside_real=self._outside_real)

    def protocol(self) -> str:
        """What the values mean, in one line."""
        return f"outside: farther than {self.within:g} deviations from every centre; {super().protocol()}"
