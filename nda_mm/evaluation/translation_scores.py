"""``nda_mm.TranslationScores``: how near translated images come to their targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nda_mm.evaluation.feature_networks import FeatureNetwork, build_feature_network
from nda_mm.evaluation.translation_metric import TranslationMetric
from nda_mm.registry import METRICS


@METRICS.register_module()
class TranslationScores(TranslationMetric):
    """Mean absolute error of the pixels, and whether a classifier reads the same in an output as in its target.

    Reported as ``DOMAIN/mae``, in [0, 1] (of the range of grey values; lower is better), and, with a network,
    ``DOMAIN/class_agreement``, the share of outputs in [0, 1] that get the class of their targets, not of the labels:
    a classifier that errs on the target is not held against the output. The first rewards blur, the second doesn't.

    Args:
        target: Domain of the outputs.
        network: Config of a classifier, see :func:`~nda_mm.evaluation.feature_networks.build_feature_network`. Default
            None: no agreement.
        prefix: Prefix of the results. Default: the domain.

    Example:
        In a recipe of mmagic::

            dict(type="nda_mm.TranslationScores", target="photo")
    """

    def __init__(self, target: str, network: Mapping[str, Any] | FeatureNetwork | None = None, **kwargs: Any) -> None:
        super().__init__(target, **kwargs)
        self._network_cfg = network
        self._network: FeatureNetwork | None = None

    @property
    def network(self) -> FeatureNetwork | None:
        """The network; built (and, if its config allows, trained) when first used."""
        if self._network is None and self._network_cfg is not None:
            self._network = build_feature_network(self._network_cfg)
        return self._network

    def move_to(self, device: torch.device) -> None:
        """See :class:`TranslationMetric`."""
        if self.network is not None:
            self.network.to(device)

    @torch.no_grad()
    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Compare a batch; one row for each image."""
        made, real = (self.images(data_samples, f"{kind}_{self.target}") for kind in ("fake", "img"))
        real = real.to(made.device)
        errors = (made.double() - real.double()).abs().mean(dim=(1, 2, 3)) / 255
        rows = [errors]
        if self.network is not None:
            read, wanted = (self.network(images).probabilities.argmax(dim=1) for images in (made, real))
            rows.append((read == wanted).double())
        self.results.extend(torch.stack(rows, dim=1).cpu().tolist())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Means over all images."""
        means = torch.tensor(results, dtype=torch.float64).mean(dim=0).tolist()
        return dict(zip(("mae", "class_agreement"), means))
