"""Metrics of generated images over a named network: distances to real ones, the classes that are read in them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.registry import METRICS

from ..distances import FeatureStatistics, classifier_score, frechet_distance, kernel_distance
from ..nearest import precision_recall
from ..networks import FeatureNetwork, build_feature_network
from .gan_metric import GeneratorMetric, gather_rows


@dataclass
class Extracted:
    """What a network finds in a set of images, in all processes together and in the order of the set."""

    statistics: FeatureStatistics
    features: Tensor  # of the first images, as many as the metrics keep; float32
    classes: Tensor  # the most probable one of each image
    probabilities: Tensor  # of generated images only
    labels: Tensor  # that the images were generated of


@dataclass
class _Shared:
    """What metrics with equal settings compute once."""

    network: FeatureNetwork | None = None
    keep: int = 0
    real: dict[str, Extracted] = field(default_factory=dict)
    fake: Extracted | None = None
    waiting: int = 0  # metrics that have yet to look at `fake`


class NetworkMetric(GeneratorMetric):
    """A metric of what a network finds in generated and in real images.

    Metrics of one evaluator with the same network and the same samples draw the samples and run the network once.

    Args:
        network: Config of a feature network, see :func:`~nda_mm.evaluation.networks.build_feature_network`.
        fake_nums: Number of generated images.
        real_nums: Number of real images; -1 (default): all.
        real_set: Config of the data set of real images, such as the training split. It needs a ``prefix``, since the
            results would otherwise have the names of those against the evaluation's data set. Default None: that one.
        prefix: Prefix of the results. Default None: the network's name.
        kwargs: ``sample_model``, ``batch_statistics``, ``batch_size`` and ``seed`` of
            :class:`~nda_mm.evaluation.metrics.gan_metric.GeneratorMetric`.

    Raises:
        ValueError: If a number is out of its range, or ``real_set`` is given without a ``prefix``.
    """

    SAMPLER_MODE = "nda_mm_network"  # so that mmagic's evaluator hands all of them to get_metric_sampler()
    keep = 0  # images of each kind whose features are kept

    def __init__(
        self,
        network: Mapping[str, Any] | FeatureNetwork,
        fake_nums: int,
        real_nums: int = -1,
        *,
        real_set: Mapping[str, Any] | None = None,
        prefix: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(fake_nums, prefix or "network", **kwargs)
        if real_nums != -1 and real_nums < 2:
            raise ValueError(f"real_nums must be -1 (all) or at least 2, but got {real_nums}")
        if real_set is not None and prefix is None:
            raise ValueError("results against another real_set need a prefix, such as 'NETWORK_train'")
        self.real_nums = real_nums
        self.real_set = real_set
        self._real_dataset: Any = None
        self._prefix = prefix
        self._network_cfg = network
        self._shared = _Shared()

    @property
    def network(self) -> FeatureNetwork:
        """The network; built (and, if its config allows, trained) when first used."""
        if self._shared.network is None:
            self._shared.network = build_feature_network(self._network_cfg)
        return self._shared.network

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """See :class:`GANMetric`; what was found in real images before is forgotten."""
        super().prepare(module, dataloader)
        self._shared = _Shared(self._shared.network)

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> Sequence:
        """Let the metrics of an evaluation that have the same settings share what they compute."""
        sharing = [metric for metric in metrics if isinstance(metric, NetworkMetric)]
        for metric in sharing:
            metric._shared = next(each for each in sharing if each._settings == metric._settings)._shared
            metric._shared.fake, metric._shared.waiting = None, 0
        for metric in sharing:
            metric._shared.keep = max(metric._shared.keep, metric.keep)
            metric._shared.waiting += 1
        return ()

    @property
    def _settings(self) -> tuple:
        sampling = (self.fake_nums, self.sample_model, self.batch_statistics, self.batch_size, self.seed)
        return (self._network_cfg, *sampling)

    def evaluate(self, size: int = 0) -> dict[str, float]:
        """See :class:`GANMetric`."""
        self.network.to(self.device)
        self.prefix = self._prefix or self.network.name
        try:
            return super().evaluate(size)
        finally:
            self._shared.waiting -= 1
            if self._shared.waiting <= 0:
                self._shared.fake = None

    def fake(self) -> Extracted:
        """What the network finds in the samples."""
        if self._shared.fake is None:
            self._shared.fake = self._extract(self.generated(), keep_probabilities=True)
        return self._shared.fake

    def real_images(self) -> Extracted:
        """What the network finds in the real images; computed once for all evaluations."""
        key = f"{self.real_nums} of {self.real_set}"
        if key not in self._shared.real:
            batches = ((images, None) for images in self.real(self.real_dataset, self.real_nums))
            self._shared.real[key] = self._extract(batches)
        return self._shared.real[key]

    def _extract(self, batches: Iterable[tuple[Tensor, Tensor | None]], keep_probabilities: bool = False) -> Extracted:
        statistics, room = FeatureStatistics(), -(-max(self._shared.keep, self.keep) // get_world_size())
        features, probabilities, classes, labels = [], [], [], []
        for images, label in batches:
            found = self.network(images)
            statistics.update(found.features)
            features.append(found.features[:room].float().cpu())
            room -= len(features[-1])
            if keep_probabilities:
                probabilities.append(found.probabilities.cpu())
            if found.probabilities.shape[1]:
                classes.append(found.probabilities.argmax(dim=1).cpu())
            if label is not None:
                labels.append(label)
        whole = FeatureStatistics()
        for part in all_gather_object(statistics.to("cpu")):
            whole.merge(part)
        rows = (features, classes, probabilities, labels)
        return Extracted(whole, *(gather_rows(torch.cat(each) if each else torch.empty(0)) for each in rows))

    @property
    def real_dataset(self) -> Any:
        """The data set of real images."""
        if self.real_set is None:
            return self.loader.dataset
        if self._real_dataset is None:
            self._real_dataset = DATASETS.build(dict(self.real_set))
        return self._real_dataset

    @property
    def _float64_device(self) -> torch.device:
        return torch.device("cpu") if self.device.type == "mps" else self.device

    def _real_note(self) -> str:
        split = getattr(self.real_dataset, "split", None)
        name = type(self.real_dataset).__name__ + (f" '{split}'" if split else "")
        return f"{self.real_images().statistics.count} real images of {name}"

    def notes(self) -> list[str]:
        """What :meth:`protocol` adds for this metric."""
        return []

    def protocol(self) -> str:
        """See :class:`GeneratorMetric`."""
        return "; ".join([self.network.protocol, super().protocol(), *self.notes()])


@METRICS.register_module()
class FrechetDistance(NetworkMetric):
    """The Frechet distance between generated and real images, and, as they cost no second pass, other metrics.

    The results are ``NETWORK/frechet`` and, by default, those of :class:`KernelDistance` and :class:`ClassifierScore`;
    over the Inception network, and only there, they are ``inception/fid``, ``inception/kid`` and ``inception/is``. The
    line in the log names the protocol: weights, counts, resizing, which generator, which batch statistics. Values
    compare only within one.

    Source: see :func:`~nda_mm.evaluation.distances.frechet_distance`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        kernel_nums: Images of :class:`KernelDistance`; 0 leaves it out. Default 5000.
        precision_recall_nums: Images of :class:`PrecisionRecall`; 0 (default) leaves it out.
        k: Of :class:`PrecisionRecall`. Default 3.
        score_splits: Groups of :class:`ClassifierScore`; 0 leaves it out. Default 1.
        neighbours: Old name of ``k``.
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
        neighbours: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if neighbours is not None:
            warnings.warn("neighbours is the old name of k, and will go", FutureWarning, stacklevel=2)
            k = neighbours
        self.others: list[NetworkMetric] = []
        if kernel_nums:
            self.others.append(KernelDistance(network, fake_nums, real_nums, nums=kernel_nums, **kwargs))
        if precision_recall_nums:
            other = PrecisionRecall(network, fake_nums, real_nums, nums=precision_recall_nums, k=k, **kwargs)
            self.others.append(other)
        if score_splits:
            self.others.append(ClassifierScore(network, fake_nums, real_nums, splits=score_splits, **kwargs))
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
                    "is biased upwards and compares only with distances at the same counts.",
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
        return [self._real_note(), *(note for other in self.others for note in other.notes())]


@METRICS.register_module()
class KernelDistance(NetworkMetric):
    """The kernel distance between generated and real images: ``NETWORK/kernel``, over Inception ``inception/kid``.

    Source: see :func:`~nda_mm.evaluation.distances.kernel_distance`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        nums: Number of images of each kind, at most; their features are kept. Default 5000.
        kwargs: See :class:`NetworkMetric`.
    """

    def __init__(self, network: Any, fake_nums: int, real_nums: int = -1, *, nums: int = 5000, **kwargs: Any) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if nums < 2:
            raise ValueError(f"kernel_nums must be at least 2, or 0 to leave the kernel distance out, but got {nums}")
        self.keep = nums

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        kinds = (each.features[: self.keep].to(self._float64_device) for each in (self.real_images(), self.fake()))
        return {self.network.kernel_name: kernel_distance(*kinds)}


@METRICS.register_module()
class PrecisionRecall(NetworkMetric):
    """Improved precision and recall of generated images: ``NETWORK/precision`` and ``NETWORK/recall``.

    Source: see :func:`~nda_mm.evaluation.nearest.precision_recall`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        nums: Number of images of each kind, at most; their features are kept. Equally many are taken of both, since
            the values depend on the number. Default 10000.
        k: Which nearest neighbour the balls reach to. Default 3.
        kwargs: See :class:`NetworkMetric`.
    """

    def __init__(
        self, network: Any, fake_nums: int, real_nums: int = -1, *, nums: int = 10_000, k: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if not 1 <= k < min(nums, fake_nums):
            raise ValueError(
                "k must be at least 1 and below fake_nums and precision_recall_nums, but got "
                f"{k}, {fake_nums} and {nums}"
            )
        self.keep = nums
        self.k = k

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        real, fake = self.real_images().features, self.fake().features
        count = min(self.keep, len(real), len(fake))
        kinds = (features[:count].to(self._float64_device) for features in (real, fake))
        return dict(zip(("precision", "recall"), precision_recall(*kinds, k=self.k), strict=True))

    def notes(self) -> list[str]:
        """See :class:`NetworkMetric`."""
        count = min(self.keep, self.real_images().statistics.count, self.fake_nums)
        return [f"precision and recall of {count} each, k = {self.k}"]


@METRICS.register_module()
class ClassifierScore(NetworkMetric):
    """The score of generated images by a classifier: ``NETWORK/score``, over Inception ``inception/is``.

    Source: see :func:`~nda_mm.evaluation.distances.classifier_score`.

    Args:
        network, fake_nums, real_nums: See :class:`NetworkMetric`.
        splits: Groups, whose standard deviation is reported as ``NETWORK/score_std`` if there are more than one.
            Default 1; papers use 10 with 50,000 samples.
        kwargs: See :class:`NetworkMetric`.
    """

    def __init__(self, network: Any, fake_nums: int, real_nums: int = -1, *, splits: int = 1, **kwargs: Any) -> None:
        super().__init__(network, fake_nums, real_nums, **kwargs)
        if splits < 1:
            raise ValueError(f"score_splits must be at least 1, or 0 to leave the score out, but got {splits}")
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
    """Share of samples in which a named classifier reads the class that was given to the generator.

    Reported as ``NETWORK/conditional_accuracy`` in [0, 1], with the lowest class as
    ``NETWORK/conditional_accuracy_worst``. Variety plays no part: one good image of each class would do, so read it
    together with the distances.

    Args:
        network: A classifier of the same classes.
        fake_nums: Number of samples; classes are equally frequent.
        kwargs: See :class:`NetworkMetric`.

    Raises:
        ValueError: At the evaluation, if the model has no classes or the network has others.

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
                f"ConditionalAccuracy needs a conditional model and a classifier of its classes, but the model has "
                f"{classes} classes and {self.network.name} has {fake.probabilities.shape[1]}; name another network, "
                "or take it out of the evaluators"
            )
        right = (fake.classes == fake.labels).double()
        worst = min(right[fake.labels == label].mean().item() for label in fake.labels.unique())
        return dict(conditional_accuracy=right.mean().item(), conditional_accuracy_worst=worst)


@METRICS.register_module()
class RuleBreaks(NetworkMetric):
    """Share of generated images in which a named classifier reads a class that the data do not have.

    For data that obey a rule, such as two objects on every image, and a classifier of images that obey it and of others
    (of one, two and three objects). Reported are ``NETWORK/rule_broken``, 0 to 1, lower is better, and
    ``NETWORK/rule_broken_real``, the same of the real images of the evaluation, which all obey the rule: the
    classifier's own error, below which no generator can be measured. The log shows how often each class was read.

    Args:
        network: The classifier.
        fake_nums: Number of generated images.
        valid: Classes that obey the rule.
        kwargs: See :class:`NetworkMetric`.

    Raises:
        ValueError: If ``valid`` is empty; at the evaluation, if the classifier does not have such a class.

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
            raise ValueError("valid must name the classes that obey the rule, but is empty")
        self.valid = sorted(set(valid))
        self._shares = torch.empty(0)  # of the classes that were read

    def compute(self) -> dict[str, float]:
        """See :class:`GANMetric`."""
        fake, classes = self.fake(), self.fake().probabilities.shape[1]
        if self.valid[0] < 0 or self.valid[-1] >= classes:
            raise ValueError(f"valid={self.valid}, but {self.network.name} has the classes 0 to {classes - 1}")
        valid = torch.tensor(self.valid)
        kinds = dict(rule_broken=fake.classes, rule_broken_real=self.real_images().classes)
        self._shares = torch.bincount(fake.classes, minlength=classes).double() / len(fake.classes)
        return {name: 1.0 - torch.isin(read, valid).double().mean().item() for name, read in kinds.items()}

    def notes(self) -> list[str]:
        """See :class:`NetworkMetric`."""
        read = ", ".join(f"{index}: {share:.3f}" for index, share in enumerate(self._shares.tolist()))
        return [f"valid {self.valid}; read {read}"]
