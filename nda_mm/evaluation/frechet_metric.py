"""``nda_mm.FrechetDistance``: how far generated images are from real ones over a named network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.evaluation.feature_networks import FeatureNetwork
from nda_mm.evaluation.frechet import FeatureStatistics, frechet_distance
from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.evaluation.kernel import classifier_score, kernel_distance
from nda_mm.registry import METRICS


@METRICS.register_module()
class FrechetDistance(GeneratorMetric):
    """Frechet distance, kernel distance and classifier score of generated images, under the network's name.

    The results are called ``NETWORK/frechet``, ``NETWORK/kernel`` and ``NETWORK/score``; over the Inception network,
    and only there, ``inception/fid``, ``inception/kid`` and ``inception/is``. The line that reports them says the
    protocol: weights, counts, resizing, which generator, which batch statistics. Values compare only within one.

    Source: see :func:`~nda_mm.evaluation.frechet.frechet_distance`, :func:`~nda_mm.evaluation.kernel.kernel_distance`
    and :func:`~nda_mm.evaluation.kernel.classifier_score`.

    Args:
        network: See :class:`~nda_mm.evaluation.generator_metric.GeneratorMetric`, also for the other arguments.
        fake_nums: Number of generated images.
        real_nums: Number of real images of the evaluation's data set; -1 (default): all.
        kernel_nums: Number of images of each kind for the kernel distance, whose features are kept; 0 leaves it out.
            Default 5000.
        score_splits: Groups of the classifier score; 0 leaves it out. Default 1; papers use 10 with 50,000 samples.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        In a recipe of mmagic::

            val_evaluator = dict(
                type="Evaluator",
                metrics=[
                    dict(
                        type="nda_mm.FrechetDistance",
                        network=dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True),
                        fake_nums=1000,
                    )
                ],
            )
    """

    def __init__(
        self,
        network: Mapping[str, Any] | FeatureNetwork,
        fake_nums: int,
        real_nums: int = -1,
        *,
        kernel_nums: int = 5000,
        score_splits: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, fake_nums, **kwargs)
        if real_nums != -1 and real_nums < 2:
            raise ValueError(f"real_nums must be -1 (all) or at least 2, but got {real_nums}")
        if kernel_nums < 0 or score_splits < 0:
            raise ValueError(f"kernel_nums and score_splits must be >= 0, but got {kernel_nums} and {score_splits}")
        self.real_nums = real_nums
        self.kernel_nums = kernel_nums
        self.score_splits = score_splits
        self._real_statistics = FeatureStatistics()
        self._real_features = torch.empty(0)
        self._real_from = ""

    @torch.no_grad()
    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Statistics of the real images, once for all evaluations."""
        super().prepare(module, dataloader)
        statistics, kept = FeatureStatistics(), _Kept(self._kernel_share)
        for images in self.real(dataloader, self.real_nums):
            features = self.network(images).features
            statistics.update(features)
            kept.add(features)
        parts = all_gather_object((statistics.to("cpu"), kept.result()))
        self._real_statistics = FeatureStatistics()
        for part, _ in parts:
            self._real_statistics.merge(part)
        self._real_features = torch.cat([features for _, features in parts])
        split = getattr(dataloader.dataset, "split", None)
        self._real_from = type(dataloader.dataset).__name__ + (f" '{split}'" if split else "")

    @property
    def _kernel_share(self) -> int:
        return -(-self.kernel_nums // get_world_size())

    def gather(self) -> tuple[FeatureStatistics, Tensor, Tensor]:
        """Statistics, features for the kernel distance, and class probabilities of this process's samples."""
        statistics, kept, probabilities = FeatureStatistics(), _Kept(self._kernel_share), []
        for images, _ in self.generated():
            judgement = self.network(images)
            statistics.update(judgement.features)
            kept.add(judgement.features)
            if self.score_splits:
                probabilities.append(judgement.probabilities.cpu())
        return statistics.to("cpu"), kept.result(), torch.cat(probabilities) if probabilities else torch.empty(0)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See :meth:`GeneratorMetric.compute_metrics`."""
        fake = FeatureStatistics()
        for statistics, _, _ in results:
            fake.merge(statistics)
        real, network = self._real_statistics, self.network
        for name, statistics in (("generated", fake), ("real", real)):
            if statistics.rank_deficient:
                print_log(
                    f"{statistics.count} {name} images are too few for {len(statistics.mean)} features: the distance "
                    "is biased upwards and compares only with distances at the same counts.",
                    "current",
                    logging.WARNING,
                )
        values = {
            network.distance_name: frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance),
        }
        if self.kernel_nums:
            values[network.kernel_name] = kernel_distance(
                self._real_features, torch.cat([features for _, features, _ in results])
            )
        probabilities = torch.cat([part for _, _, part in results])
        if self.score_splits and probabilities.numel():
            mean, deviation = classifier_score(probabilities, splits=self.score_splits)
            values[network.score_name] = mean
            if self.score_splits > 1:
                values[f"{network.score_name}_std"] = deviation
        return values

    def protocol(self) -> str:
        """See :meth:`GeneratorMetric.protocol`."""
        return f"{super().protocol()}; {self._real_statistics.count} real images of {self._real_from}"


class _Kept:
    """The first features of a stream, in float32 on the CPU."""

    def __init__(self, limit: int) -> None:
        self.room = limit
        self.parts: list[Tensor] = []

    def add(self, features: Tensor) -> None:
        if self.room > 0:
            self.parts.append(features[: self.room].float().cpu())
            self.room -= len(self.parts[-1])

    def result(self) -> Tensor:
        return torch.cat(self.parts) if self.parts else torch.empty(0)
