"""``nda_mm.HighQualityRatio``: share of the samples of a 2-D toy generator that lie on a mode of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from nda_mm.registry import METRICS

from .gan_metric import GeneratorMetric, gather_rows


@dataclass(frozen=True)
class ModeCoverage:
    """Result of :func:`mode_coverage`.

    Attributes:
        ratio: Share of the samples that lie on any mode, 0 to 1.
        shares: Share of the samples that lie on each mode; they add up to ``ratio``.

    Example:
        >>> ModeCoverage(ratio=1.0, shares=(0.9, 0.1, 0.0)).covered
        2
    """

    ratio: float
    shares: tuple[float, ...]

    @property
    def covered(self) -> int:
        """Number of modes with at least a fifth of the samples that each mode would have in equal shares."""
        return sum(share >= 0.2 / len(self.shares) for share in self.shares)


def mode_coverage(samples: Tensor, centers: Tensor, std: float, *, within: float = 3.0) -> ModeCoverage:
    r"""Count the samples on each mode of a mixture of equal round Gaussians in the plane.

    A sample lies on a mode if its distance from the center is at most ``within`` standard deviations. A share of
    :math:`e^{-w^2/2}` of a Gaussian in the plane lies more than :math:`w` standard deviations out: 1.1 % for 3. This
    applies to real samples too.

    Source: the share of "high quality" samples of Azadi et al., "Discriminator Rejection Sampling", ICLR 2019,
    https://arxiv.org/abs/1810.06758.

    Args:
        samples: Samples; one that is not finite lies on no mode. Shape: (N, 2), N at least 1.
        centers: Centers of the modes, more than two radii apart. Shape: (M, 2).
        std: Standard deviation of each mode in both directions, above 0.
        within: Radius of a mode in standard deviations, above 0. Defaults to 3.

    Returns:
        The share of the samples on any mode and on each mode.

    Raises:
        ValueError: If a shape is wrong, or the modes overlap.

    Example:
        >>> centers = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
        >>> mode_coverage(torch.tensor([[0.0, 1.0], [0.0, 2.9], [0.0, 3.1], [10.0, 0.0]]), centers, 1.0)
        ModeCoverage(ratio=0.75, shares=(0.5, 0.25))
    """
    if samples.ndim != 2 or samples.shape[1] != 2 or not len(samples) or centers.ndim != 2 or centers.shape[1] != 2:
        raise ValueError(f"samples and centers must be (N, 2), (M, 2), but got {samples.shape}, {centers.shape}")
    centers = centers.to(samples)
    if len(centers) > 1 and torch.pdist(centers.double()).min() <= 2 * within * std:
        raise ValueError(f"modes of radius {within * std:g} around these centers overlap; lower within or std")
    distance, nearest = torch.cdist(samples, centers, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    on_mode = distance <= within * std  # False for nan
    shares = torch.bincount(nearest[on_mode], minlength=len(centers)).double() / len(samples)
    return ModeCoverage(on_mode.double().mean().item(), tuple(shares.tolist()))


@METRICS.register_module(name=["HighQualityRatio", "OffModes"])
class HighQualityRatio(GeneratorMetric):
    """Share of generated 2-D samples that lie on a mode of the data, a mixture of Gaussians.

    The metric reports

    * ``toy/high_quality_ratio``: the share, 0 to 1; higher is better.
    * ``toy/modes``: the number of modes with at least a fifth of an equal share. It reveals a generator that avoids the
      gaps by dropping modes.
    * ``toy/high_quality_ratio_real``: the share for real samples, which a perfect generator would reach.

    See :func:`mode_coverage`.

    Args:
        fake_nums: Number of generated samples.
        within: Radius of a mode in standard deviations. Defaults to 3.
        prefix: Prefix of the results. Defaults to ``'toy'``.
        kwargs: ``sample_model``, ``seed``, ... of
            :class:`~nda_mm.evaluation.metrics.gan_metric.GeneratorMetric`.

    Raises:
        TypeError: At the first evaluation, if the data set does not have the centers and standard deviation of its
            modes, as ``nda_mm.ToyGaussians`` does.

    Example:
        In a config::

            val_evaluator = dict(metrics=[dict(type='nda_mm.HighQualityRatio', fake_nums=10_000)])
    """

    def __init__(self, fake_nums: int, *, within: float = 3.0, prefix: str = "toy", **kwargs: Any) -> None:
        super().__init__(fake_nums, prefix, **kwargs)
        self.within = within
        self._ratio_real = float("nan")

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """Compute the share of real samples that lie on a mode; see :meth:`GANMetric.prepare`."""
        super().prepare(module, dataloader)
        dataset: Any = dataloader.dataset
        if not hasattr(dataset, "centers"):
            raise TypeError(f"HighQualityRatio needs nda_mm.ToyGaussians, but got {type(dataset).__name__}")
        count = min(self.fake_nums, len(dataset))
        real = torch.stack([torch.from_numpy(dataset.get_data_info(index)["gt"]) for index in range(count)])
        self._ratio_real = self._coverage(real).ratio

    def _coverage(self, samples: Tensor) -> ModeCoverage:
        dataset = self.loader.dataset
        centers = torch.from_numpy(dataset.centers)
        return mode_coverage(samples.double().flatten(1), centers, dataset.std, within=self.within)

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        generator = self.generator
        was_training = generator.training
        generator.eval()
        try:
            made = [generator(noise.to(self.device), return_noise=False).cpu() for noise, _ in self.noise()]
        finally:
            generator.train(was_training)
        coverage = self._coverage(gather_rows(torch.cat(made) if made else torch.empty(0)))
        return dict(
            high_quality_ratio=coverage.ratio,
            modes=float(coverage.covered),
            high_quality_ratio_real=self._ratio_real,
        )

    def protocol(self) -> str:
        """See :class:`GeneratorMetric`."""
        return f"high quality: within {self.within:g} std of a center; {super().protocol()}"
