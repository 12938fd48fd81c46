"""Base class of metrics that use a feature network; metrics share samples and features that they all need."""

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
    """Outputs of a network for a set of images, from all processes and in the order of the set."""

    statistics: FeatureStatistics
    features: Tensor  # of as many of the first images as the metrics keep; float32
    classes: Tensor  # the most probable class of each image
    probabilities: Tensor  # of generated images only
    labels: Tensor  # classes given to the generator


@dataclass
class _Shared:
    """State that metrics with equal settings share, so that it is computed once."""

    network: FeatureNetwork | None = None
    keep: int = 0
    real: dict[str, Extracted] = field(default_factory=dict)
    fake: Extracted | None = None
    waiting: int = 0  # number of metrics of this evaluation that have not used `fake` yet


class NetworkMetric(GeneratorMetric):
    """Base class of metrics that compare the outputs of a feature network for generated and real images.

    Metrics of the same evaluator that use the same network and samples draw the samples and run the network only once.

    Args:
        network: Config of a feature network, see :func:`~nda_mm.evaluation.networks.build_feature_network`.
        fake_nums: Number of generated images.
        real_nums: Number of real images; -1 for all. Defaults to -1.
        real_set: Config of the data set of real images, such as the training split. It requires a ``prefix``, as the
            results would otherwise have the same names as those for the evaluation's data set. Defaults to None: the
            evaluation's data set.
        prefix: Prefix of the results. Defaults to None: the network's name.
        kwargs: ``sample_model``, ``batch_statistics``, ``batch_size`` and ``seed`` of
            :class:`~nda_mm.evaluation.metrics.gan_metric.GeneratorMetric`.

    Raises:
        ValueError: If a number is out of range, or ``real_set`` is given without a ``prefix``.
    """

    SAMPLER_MODE = "nda_mm_network"  # so that mmagic's evaluator passes all of them to get_metric_sampler()
    keep = 0  # number of real and of generated images whose features are kept

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
            raise ValueError("real_set needs a prefix for its results, such as prefix='NETWORK_train'")
        self.real_nums = real_nums
        self.real_set = real_set
        self._real_dataset: Any = None
        self._prefix = prefix
        self._network_cfg = network
        self._shared = _Shared()

    @property
    def network(self) -> FeatureNetwork:
        """The network, which is built (and, if its config allows, trained) on first use."""
        if self._shared.network is None:
            self._shared.network = build_feature_network(self._network_cfg)
        return self._shared.network

    def prepare(self, module: Any, dataloader: DataLoader) -> None:
        """See :class:`GANMetric`; also drop the cached results of real images."""
        super().prepare(module, dataloader)
        self._shared = _Shared(self._shared.network)

    def get_metric_sampler(self, model: nn.Module, dataloader: DataLoader, metrics: list) -> Sequence:
        """Let metrics with the same settings share their samples and features; return no batches for the loop."""
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
        """Return the network's outputs for the samples."""
        if self._shared.fake is None:
            self._shared.fake = self._extract(self.generated(), keep_probabilities=True)
        return self._shared.fake

    def real_images(self) -> Extracted:
        """Return the network's outputs for the real images, which are computed once for all evaluations."""
        key = f"{self.real_nums} of {self.real_set}"
        if key not in self._shared.real:
            batches = ((images, None) for images in self.real(self.real_dataset, self.real_nums))
            self._shared.real[key] = self._extract(batches)
        return self._shared.real[key]

    def kept_features(self) -> tuple[Tensor, Tensor]:
        """Return features of the first ``keep`` real and generated images, on a device that supports float64."""
        device = "cpu" if self.device.type == "mps" else self.device
        real, fake = (each.features[: self.keep].to(device) for each in (self.real_images(), self.fake()))
        return real, fake

    def _extract(self, batches: Iterable[tuple[Tensor, Tensor | None]], keep_probabilities: bool = False) -> Extracted:
        statistics, room = FeatureStatistics(), -(-max(self._shared.keep, self.keep) // get_world_size())
        features, probabilities, classes, labels = [], [], [], []
        # Run the network on this process's share.
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
        # Merge the shares of all processes.
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
        """Return the parts of :meth:`protocol` that are specific to this metric."""
        return []

    def protocol(self) -> str:
        """See :class:`GeneratorMetric`."""
        return "; ".join([self.network.protocol, super().protocol(), *self.notes()])
