"""``nda_mm.ClassAgreement``: whether a conditional generator draws the class that it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from nda_mm.evaluation.generator_metric import GeneratorMetric
from nda_mm.registry import METRICS


@METRICS.register_module()
class ClassAgreement(GeneratorMetric):
    """Share of samples in which a named classifier reads the class that was given to the generator.

    Reported as ``NETWORK/class_agreement`` in [0, 1], with the lowest class as ``NETWORK/class_agreement_worst``. It
    says nothing of variety: one good image of each class would do. Read it beside the distances.

    Args:
        network: A classifier of the same classes, see
            :class:`~nda_mm.evaluation.generator_metric.GeneratorMetric`, also for the other arguments.
        fake_nums: Number of samples; classes are equally frequent.

    Raises:
        ValueError: at the evaluation, if the model has no classes or the network has others.

    Example:
        In a recipe of mmagic::

            dict(
                type="nda_mm.ClassAgreement",
                network=dict(type="mmpretrain", config="classifier_digits.py", train_if_missing=True),
                fake_nums=1000,
            )
    """

    def gather(self) -> Tensor:
        """Rows (class asked for, class read) of this process's samples."""
        rows = []
        for images, labels in self.generated():
            probabilities = self.network(images).probabilities
            classes = getattr(self.model, "num_classes", None)
            if labels is None or classes != probabilities.shape[1]:
                raise ValueError(
                    f"class agreement needs a conditional model and a classifier of its classes, but the model has "
                    f"{classes} classes and {self.network.name} has {probabilities.shape[1]}; name another network, or "
                    "take nda_mm.ClassAgreement out of the evaluators"
                )
            rows.append(torch.stack([labels, probabilities.argmax(dim=1).cpu()], dim=1))
        return torch.cat(rows) if rows else torch.empty(0, 2, dtype=torch.long)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """See :meth:`GeneratorMetric.compute_metrics`."""
        asked, read = torch.cat(results).unbind(dim=1)
        right = asked == read
        worst = min(right[asked == label].double().mean().item() for label in asked.unique())
        return dict(class_agreement=right.double().mean().item(), class_agreement_worst=worst)
