"""Metrics of generated images based on a feature network: distances to real images, and classifier predictions."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.logging import print_log
from torch.utils.data import DataLoader

from nda_mm.registry import METRICS

from ..distances import classifier_score, frechet_distance, kernel_distance
from ..nearest import precision_recall
from ..networks import FeatureNetwork
from .network_metric import NetworkMetric


@METRICS.register_module()
class FrechetDistance(NetworkMetric):
    """Frechet distance between generated and real images: ``NETWORK/frechet``, or ``inception/fid`` for Inception.

    It can also report other metrics of the same samples without a second pass: by default :class:`KernelDistance` and
    :class:`ClassifierScore`. The log states the protocol: weights, counts, resizing, the generator and its batch
    statistics. Values are only comparable under the same protocol.

    Source: see :func:`~nda_mm.evaluation.distances.frechet_distance`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        kernel_nums: ``nums`` of :class:`KernelDistance`; 0 leaves it out. Defaults to 5000.
        precision_recall_nums: ``nums`` of :class:`PrecisionRecall`; 0 leaves it out. Defaults to 0.
        k: ``k`` of :class:`PrecisionRecall`. Defaults to 3.
        score_splits: ``splits`` of :class:`ClassifierScore`; 0 leaves it out. Defaults to 1.
        kwargs: ``real_set``, ``prefix``, ... of :class:`NetworkMetric`.

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
        precision_recall_nums: int = 0,
        k: int = 3,
        score_splits: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        settings = dict(network=network, fake_nums=fake_nums, real_nums=real_nums, **kwargs)
        self.others: list[NetworkMetric] = []
        if kernel_nums:
            self.others.append(KernelDistance(nums=kernel_nums, **settings))
        if precision_recall_nums:
            self.others.append(PrecisionRecall(nums=precision_recall_nums, k=k, **settings))
        if score_splits:
            self.others.append(ClassifierScore(splits=score_splits, **settings))
        self.keep = max((other.keep for other in self.others), default=0)

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """See :class:`GANMetric`."""
        super().prepare(module, dataloader)
        for other in self.others:
            other.prepare(module, dataloader)

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        real, fake = self.real_images().statistics, self.fake().statistics
        for name, statistics in (("generated", fake), ("real", real)):
            if statistics.rank_deficient:
                print_log(
                    f"{statistics.count} {name} images are too few for {len(statistics.mean)} features: the distance "
                    "is biased upwards and is only comparable with distances at the same counts.",
                    "current",
                    logging.WARNING,
                )
        distance = frechet_distance(real.mean, real.covariance, fake.mean, fake.covariance)
        values = {self.network.distance_name: distance}
        for other in self.others:
            other._shared = self._shared
            values |= other.compute()
        return values

    def notes(self) -> list[str]:
        """See :class:`NetworkMetric`."""
        split = getattr(self.real_dataset, "split", None)
        name = type(self.real_dataset).__name__ + (f" '{split}'" if split else "")
        real = f"{self.real_images().statistics.count} real images of {name}"
        return [real, *(note for other in self.others for note in other.notes())]


@METRICS.register_module()
class KernelDistance(NetworkMetric):
    """Kernel distance between generated and real images: ``NETWORK/kernel``, or ``inception/kid`` for Inception.

    Source: see :func:`~nda_mm.evaluation.distances.kernel_distance`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        nums: Maximum number of real and of generated images, whose features are kept. Defaults to 5000.
        kwargs: See :class:`NetworkMetric`.

    Example:
        In a config of mmagic::

            val_evaluator = dict(
                type='Evaluator',
                metrics=[
                    dict(
                        type='nda_mm.KernelDistance',
                        network=dict(type='inception', path='inception-2015-12-05.pt'),
                        fake_nums=10_000,
                    )
                ],
            )
    """

    def __init__(self, network: Any, fake_nums: int, real_nums: int = -1, *, nums: int = 5000, **kwargs: Any) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if nums < 2:
            raise ValueError(f"nums (kernel_nums) must be at least 2, but got {nums}")
        self.keep = nums

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        return {self.network.kernel_name: kernel_distance(*self.kept_features())}


@METRICS.register_module()
class PrecisionRecall(NetworkMetric):
    """Improved precision and recall of generated images: ``NETWORK/precision`` and ``NETWORK/recall``.

    Source: see :func:`~nda_mm.evaluation.nearest.precision_recall`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        nums: Maximum number of real and of generated images, whose features are kept. Both sets get the same size,
            since the values depend on it. Defaults to 10000.
        k: The nearest neighbor that defines the radius of a ball. Defaults to 3.
        kwargs: See :class:`NetworkMetric`.

    Example:
        In a config of mmagic::

            val_evaluator = dict(
                type='Evaluator',
                metrics=[
                    dict(
                        type='nda_mm.PrecisionRecall',
                        network=dict(type='inception', path='inception-2015-12-05.pt'),
                        fake_nums=10_000,
                        k=3,
                    )
                ],
            )
    """

    def __init__(
        self, network: Any, fake_nums: int, real_nums: int = -1, *, nums: int = 10_000, k: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if not 1 <= k < min(nums, fake_nums):
            raise ValueError(
                f"k must be at least 1 and below fake_nums={fake_nums} and nums (precision_recall_nums)={nums}, "
                f"but got {k}"
            )
        self.keep = nums
        self.k = k

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        real, fake = self.kept_features()
        count = min(len(real), len(fake))
        precision, recall = precision_recall(real[:count], fake[:count], k=self.k)
        return dict(precision=precision, recall=recall)

    def notes(self) -> list[str]:
        """See :class:`NetworkMetric`."""
        count = min(self.keep, self.real_images().statistics.count, self.fake_nums)
        return [f"precision and recall of {count} each, k = {self.k}"]


@METRICS.register_module()
class ClassifierScore(NetworkMetric):
    """Inception Score with any classifier: ``NETWORK/score``, or ``inception/is`` for Inception.

    Source: see :func:`~nda_mm.evaluation.distances.classifier_score`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        splits: Number of groups whose scores are averaged. If there is more than one, the standard deviation over
            groups is reported as ``NETWORK/score_std``. Papers use 10 with 50,000 samples. Defaults to 1.
        kwargs: See :class:`NetworkMetric`.

    Example:
        In a config of mmagic::

            val_evaluator = dict(
                type='Evaluator',
                metrics=[
                    dict(
                        type='nda_mm.ClassifierScore',
                        network=dict(type='inception', path='inception-2015-12-05.pt'),
                        fake_nums=10_000,
                    )
                ],
            )
    """

    def __init__(self, network: Any, fake_nums: int, real_nums: int = -1, *, splits: int = 1, **kwargs: Any) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if splits < 1:
            raise ValueError(f"splits (score_splits) must be at least 1, but got {splits}")
        self.splits = splits

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        probabilities, name = self.fake().probabilities, self.network.score_name
        if not probabilities.numel():
            return {}
        mean, std = classifier_score(probabilities, splits=self.splits)
        return {name: mean} if self.splits == 1 else {name: mean, f"{name}_std": std}


@METRICS.register_module(name=["ConditionalAccuracy", "ClassAgreement"])
class ConditionalAccuracy(NetworkMetric):
    """Share of samples that a classifier assigns to the class that was given to the generator.

    Reported as ``NETWORK/conditional_accuracy`` in [0, 1], and for the worst class as
    ``NETWORK/conditional_accuracy_worst``. Diversity has no influence: one good image per class would be enough, so
    read it together with the distances.

    Args:
        network: A classifier with the same classes.
        fake_nums: Number of samples; classes are equally frequent.
        kwargs: See :class:`NetworkMetric`.

    Raises:
        ValueError: At evaluation, if the model has no classes or the network has a different number of them.

    Example:
        In a recipe of mmagic::

            dict(
                type="nda_mm.ConditionalAccuracy",
                network=dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True),
                fake_nums=1000,
            )
    """

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        fake, classes = self.fake(), getattr(self.model, "num_classes", None)
        if not classes or fake.probabilities.shape[1] != classes:
            raise ValueError(
                f"ConditionalAccuracy needs a model and a network with the same classes, but the model has {classes} "
                f"classes and {self.network.name} has {fake.probabilities.shape[1]}"
            )
        right = (fake.classes == fake.labels).double()
        worst = min(right[fake.labels == label].mean().item() for label in fake.labels.unique())
        return dict(conditional_accuracy=right.mean().item(), conditional_accuracy_worst=worst)


@METRICS.register_module()
class RuleBreaks(NetworkMetric):
    """Share of generated images that a classifier assigns to a class that breaks a rule of the data.

    For data that obey a rule, such as two objects in every image, and a classifier trained on images that obey it and
    on others (such as one, two and three objects). The metric reports ``NETWORK/rule_broken``, 0 to 1, lower is better,
    and ``NETWORK/rule_broken_real``, the same for the real images of the evaluation. These all obey the rule, so their
    value is the classifier's own error, below which no generator can be measured. The log shows how often each class
    was predicted.

    Args:
        network: The classifier.
        fake_nums: Number of generated images.
        valid: Classes that obey the rule.
        kwargs: See :class:`NetworkMetric`.

    Raises:
        ValueError: If ``valid`` is empty; at evaluation, if the classifier does not have one of these classes.

    Example:
        In a recipe of mmagic::

            dict(
                type="nda_mm.RuleBreaks",
                network=dict(type="mmpretrain", config="classifier_numerosity.py", train_if_missing=True),
                fake_nums=1000,
                valid=[2],
            )
    """

    def __init__(self, network: Any, fake_nums: int, valid: Sequence[int], **kwargs: Any) -> None:
        super().__init__(network, fake_nums, **kwargs)
        if not valid:
            raise ValueError("valid must hold the classes that obey the rule, but is empty")
        self.valid = sorted(set(valid))

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        classes = self.fake().probabilities.shape[1]
        if self.valid[0] < 0 or self.valid[-1] >= classes:
            raise ValueError(f"valid must be classes of {self.network.name}, 0 to {classes - 1}, but got {self.valid}")
        kinds = dict(rule_broken=self.fake().classes, rule_broken_real=self.real_images().classes)
        valid = torch.tensor(self.valid)
        return {name: 1.0 - torch.isin(read, valid).double().mean().item() for name, read in kinds.items()}

    def notes(self) -> list[str]:
        """See :class:`NetworkMetric`."""
        fake = self.fake()
        counts = torch.bincount(fake.classes, minlength=fake.probabilities.shape[1])
        read = ", ".join(f"{index}: {count / len(fake.classes):.3f}" for index, count in enumerate(counts.tolist()))
        return [f"valid {self.valid}; read {read}"]
