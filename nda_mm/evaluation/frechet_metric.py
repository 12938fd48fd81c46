"""``nda_mm.FrechetDistance``: how far generated images are from real ones over a named network."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.evaluation.feature_networks import FeatureNetwork
from nda_mm.evaluation.frechet import FeatureStatistics, frechet_distance
from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.evaluation.kernel import classifier_score, kernel_distance
from nda_mm.evaluation.precision_recall import precision_recall
from nda_mm.registry import METRICS


@METRICS.register_module()
class FrechetDistance(GeneratorMetric):
    """Frechet and kernel distance, classifier score, precision and recall of generated images over a named network.

    The results are called ``NETWORK/frechet``, ``NETWORK/kernel``, ``NETWORK/score``, ``NETWORK/precision`` and
    ``NETWORK/recall``; over the Inception network, and only there, the first three are ``inception/fid``,
    ``inception/kid`` and ``inception/is``. The line that reports them says the protocol: weights, counts, resizing,
    which generator, which batch statistics. Values compare only within one.

    Source: see :func:`~nda_mm.evaluation.frechet.frechet_distance`, :func:`~nda_mm.evaluation.kernel.kernel_distance`,
    :func:`~nda_mm.evaluation.kernel.classifier_score` and
    :func:`~nda_mm.evaluation.precision_recall.precision_recall`.

    Args:
        network: See :class:`~nda_mm.evaluation.generator_metric.GeneratorMetric`, also for the other arguments.
        fake_nums: Number of generated images.
        real_nums: Number of real images; -1 (default): all.
        real_set: Config of the data set of real images, such as the training split. It needs a ``prefix``, since the
            results would otherwise pass for those against the evaluation's data set. Default None: that one.
        kernel_nums: Number of images of each kind for the kernel distance, at most; their features are kept. 0 leaves
            it out. Default 5000.
        precision_recall_nums: Number of images of each kind for precision and recall, at most; their features are kept.
            Of both kinds equally many are taken, since the values depend on the number. 0 (default) leaves them out.
        neighbours: Of precision and recall. Default 3.
        score_splits: Groups of the classifier score; 0 leaves it out. Default 1; papers use 10 with 50,000 samples.

    Raises:
        ValueError: if a number is out of its range, or ``real_set`` is given without a ``prefix``.

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
        real_set: Mapping[str, Any] | None = None,
        kernel_nums: int = 5000,
        precision_recall_nums: int = 0,
        neighbours: int = 3,
        score_splits: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, fake_nums, **kwargs)
        if real_nums != -1 and real_nums < 2:
            raise ValueError(f"real_nums must be -1 (all) or at least 2, but got {real_nums}")
        if kernel_nums < 0 or score_splits < 0:
            raise ValueError(f"kernel_nums and score_splits must be >= 0, but got {kernel_nums} and {score_splits}")
        if precision_recall_nums < 0 or neighbours < 1 or 0 < min(precision_recall_nums, fake_nums) <= neighbours:
            raise ValueError(
                "precision_recall_nums must be 0 (leave out) or above neighbours, which must be at least 1 and below "
                f"fake_nums, but got {precision_recall_nums}, {neighbours} and {fake_nums}"
            )
        if real_set is not None and kwargs.get("prefix") is None:
            raise ValueError("name the results against another real_set by a prefix, such as 'NETWORK_train'")
        self.real_nums = real_nums
        self.real_set = real_set
        self.kernel_nums = kernel_nums
        self.precision_recall_nums = precision_recall_nums
        self.neighbours = neighbours
        self.score_splits = score_splits
        self._real_statistics = FeatureStatistics()
        self._real_features: list[Tensor] = []
        self._real_from = ""

    @torch.no_grad()
    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """Statistics of the real images, once for all evaluations."""
        super().prepare(module, dataloader)
        if self.real_set is not None:
            dataloader = DataLoader(DATASETS.build(dict(self.real_set)), collate_fn=dataloader.collate_fn)
        statistics, kept = FeatureStatistics(), _Kept(self._kept_share)
        for images in self.real(dataloader, self.real_nums):
            features = self.network(images).features
            statistics.update(features)
            kept.add(features)
        parts = all_gather_object((statistics.to("cpu"), kept.result()))
        self._real_statistics = FeatureStatistics()
        for part, _ in parts:
            self._real_statistics.merge(part)
        self._real_features = [features for _, features in parts]
        split = getattr(dataloader.dataset, "split", None)
        self._real_from = type(dataloader.dataset).__name__ + (f" '{split}'" if split else "")

    @property
    def _kept_share(self) -> int:
        return -(-max(self.kernel_nums, self.precision_recall_nums) // get_world_size())

    def gather(self) -> tuple[FeatureStatistics, Tensor, Tensor]:
        """Statistics, features for the kernel distance, and class probabilities of this process's samples."""
        statistics, kept, probabilities = FeatureStatistics(), _Kept(self._kept_share), []
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
        fake_features = [features for _, features, _ in results]
        device = "cpu" if self.device.type == "mps" else self.device  # both compute in float64
        if self.kernel_nums:
            chosen = (_first(parts, self.kernel_nums).to(device) for parts in (self._real_features, fake_features))
            values[network.kernel_name] = kernel_distance(*chosen)
        if self.precision_recall_nums:
            count = min(self.precision_recall_nums, real.count, fake.count)
            chosen = (_first(parts, count).to(device) for parts in (self._real_features, fake_features))
            found = precision_recall(*chosen, neighbours=self.neighbours)
            values |= dict(precision=found.precision, recall=found.recall)
        probabilities = torch.cat([part for _, _, part in results])
        if self.score_splits and probabilities.numel():
            mean, deviation = classifier_score(probabilities, splits=self.score_splits)
            values[network.score_name] = mean
            if self.score_splits > 1:
                values[f"{network.score_name}_std"] = deviation
        return values

    def protocol(self) -> str:
        """See :meth:`GeneratorMetric.protocol`."""
        said = f"{super().protocol()}; {self._real_statistics.count} real images of {self._real_from}"
        if not self.precision_recall_nums:
            return said
        count = min(self.precision_recall_nums, self._real_statistics.count, self.fake_nums)
        return f"{said}; precision and recall of {count} each, {self.neighbours} neighbours"


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


def _first(parts: Sequence[Tensor], count: int) -> Tensor:
    """The first ``count`` of the features that the processes took turns at, of each process its share."""
    share = -(-count // len(parts))
    return torch.cat([part[:share] for part in parts])[:count]
