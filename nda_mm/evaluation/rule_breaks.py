"""``nda_mm.RuleBreaks``: how many generated images break a rule that a classifier can read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.dist import all_gather_object
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nda_mm.evaluation.feature_networks import FeatureNetwork
from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.registry import METRICS


@METRICS.register_module()
class RuleBreaks(GeneratorMetric):
    """Share of generated images in which a named classifier reads a class that the data do not have.

    For data that obey a rule, such as two objects on every image, and a classifier of images that obey it and of others
    (of one, two and three objects). Reported are ``NETWORK/rule_broken``, 0 to 1, lower is better, and
    ``NETWORK/rule_broken_real``, the same of the real images of the evaluation, which all obey the rule: the
    classifier's own error, below which no generator need be better. The log says how often each class was read.

    Args:
        network: The classifier, see :class:`~nda_mm.evaluation.generator_metric.GeneratorMetric`, also for the other
            arguments.
        fake_nums: Number of generated images.
        valid: Classes that obey the rule.

    Raises:
        ValueError: if ``valid`` is empty; at the evaluation, if the classifier does not have such a class.

    Example:
        In a recipe of mmagic::

            dict(
                type="nda_mm.RuleBreaks",
                network=dict(type="mmpretrain", config="classifier_numerosity.py", train_if_missing=True),
                fake_nums=1000,
                valid=[2],
            )
    """

    def __init__(
        self, network: Mapping[str, Any] | FeatureNetwork, fake_nums: int, valid: Sequence[int], **kwargs: Any
    ) -> None:
        super().__init__(network, fake_nums, **kwargs)
        if not valid:
            raise ValueError("valid must name the classes that obey the rule, but is empty")
        self.valid = sorted(set(valid))
        self._broken_real = float("nan")
        self._read = torch.empty(0)

    @torch.no_grad()
    def prepare(self, module: nn.Module, dataloader: DataLoader) -> None:
        """What the classifier reads in real images, once for all evaluations."""
        super().prepare(module, dataloader)
        counts = all_gather_object(self._count(self.real(dataloader, -1)))
        self._broken_real = self._broken(sum(counts))

    def _count(self, batches: Any) -> Tensor:
        """How often each class is read in batches of images. Shape: (classes,)."""
        total = torch.zeros(0, dtype=torch.long)
        for images in batches:
            probabilities = self.network(images).probabilities
            classes = probabilities.shape[1]
            if self.valid[0] < 0 or self.valid[-1] >= classes:
                raise ValueError(f"valid={self.valid}, but {self.network.name} has the classes 0 to {classes - 1}")
            read = torch.bincount(probabilities.argmax(dim=1).cpu(), minlength=classes)
            total = read if not len(total) else total + read
        return total

    def _broken(self, counts: Tensor) -> float:
        return 1.0 - (counts[self.valid].sum() / counts.sum()).item()

    def gather(self) -> Tensor:
        """How often each class is read in this process's share of the samples."""
        return self._count(images for images, _ in self.generated())

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See :meth:`GeneratorMetric.compute_metrics`."""
        counts = sum(part for part in results if len(part))
        self._read = counts / counts.sum()
        return dict(rule_broken=self._broken(counts), rule_broken_real=self._broken_real)

    def protocol(self) -> str:
        """What the values mean, in one line."""
        read = ", ".join(f"{index}: {share:.3f}" for index, share in enumerate(self._read.tolist()))
        return f"valid {self.valid}; read {read}; {super().protocol()}"
