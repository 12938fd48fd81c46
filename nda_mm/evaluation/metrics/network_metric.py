"""The base of the metrics over a network: samples are drawn and features computed once, for all that need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.registry import DATASETS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..distances import FeatureStatistics
from ..networks import FeatureNetwork, build_feature_network
from .gan_metric import GeneratorMetric, gather_rows


@dataclass
class Extracted:
    """What a network gives for a set of images, over all processes and in the order of the set."""

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
    waiting: int = 0  # metrics of this evaluation that have yet to use `fake`


class NetworkMetric(GeneratorMetric):
    """A metric of what a network gives for generated and for real images.

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
        """What the network gives for the samples."""
        if self._shared.fake is None:
            self._shared.fake = self._extract(self.generated(), keep_probabilities=True)
        return self._shared.fake

    def real_images(self) -> Extracted:
        """What the network gives for the real images; computed once for all evaluations."""
        key = f"{self.real_nums} of {self.real_set}"
        if key not in self._shared.real:
            batches = ((images, None) for images in self.real(self.real_dataset, self.real_nums))
            self._shared.real[key] = self._extract(batches)
        return self._shared.real[key]

    def kept_features(self) -> tuple[Tensor, Tensor]:
        """Features of the first ``keep`` real and generated images, on a device with float64."""
        device = "cpu" if self.device.type == "mps" else self.device
        real, fake = (each.features[: self.keep].to(device) for each in (self.real_images(), self.fake()))
        return real, fake

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

    def notes(self) -> list[str]:
        """What :meth:`protocol` adds for this metric."""
        return []

    def protocol(self) -> str:
        """See :class:`GeneratorMetric`."""
        return "; ".join([self.network.protocol, super().protocol(), *self.notes()])
