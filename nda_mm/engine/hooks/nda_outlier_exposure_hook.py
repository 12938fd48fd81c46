"""A hook that adds outlier exposure to a stock classifier, with one line in ``custom_hooks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.runner import Runner
from torch import nn

from nda_mm.models.outlier_exposure import OutlierExposure
from nda_mm.negatives import Negative
from nda_mm.registry import HOOKS

from .negative_hook import NegativeHook


@HOOKS.register_module()
class NDAOutlierExposureHook(NegativeHook):
    """Train a classifier to predict the uniform distribution on negatives of its images.

    The maximum softmax probability, or the energy of the logits, then separates OOD images from the data.

    A stock recipe of mmpretrain needs no other change. The model's code and its checkpoint keys stay unchanged. See
    :class:`nda_mm.models.outlier_exposure.OutlierExposure` for what a step does. At weight 0, nothing is attached, and
    the run equals mmpretrain's bit for bit.

    Supports ``ImageClassifier`` with a softmax head, convolutional or a transformer, with mixup, cutmix or label
    smoothing. Other models raise an error before the first step.

    Logs ``loss_outlier_exposure``, the weighted loss, and ``negative_confidence``, the mean of the highest probability
    on negatives, which is 1 / K once the classifier has learned it.

    Note:
        Negatives are drawn from a generator that is seeded at every step with the seed, the iteration and the rank.
        The checkpoint stores the seed, so a resumed run makes the same negatives. Dropout in their forward pass draws
        from the training RNG state.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606, with negatives in place of an outlier data set.

    Args:
        negative: The negative or its config, such as ``dict(type='Jigsaw', grid=2)``.
        weight: Weight of the loss on negatives. Finite and at least 0, or a schedule over iterations such as
            ``[(0, 0.0), (1000, 0.5)]``. Defaults to 0.5, as in the paper.
        share: Share of the batch from which negatives are made, in (0, 1]. A step costs about two plain ones with a
            share of 1, and one and a half with 0.5. Defaults to 1.
        update_statistics: Whether negatives count in the running statistics of batch normalization. Defaults to False.
        seed: Seed for the negatives. Defaults to None, which uses the run's seed.

    Raises:
        TypeError, ValueError, KeyError: At construction, if ``negative`` or ``weight`` is invalid. Before the first
            step, if another setting is invalid or the model is not supported.

    Example:
        In a config that inherits ``mmpretrain::resnet/resnet18_8xb16_cifar10.py``::

            custom_hooks = [dict(type='nda_mm.NDAOutlierExposureHook', negative=dict(type='Jigsaw', grid=2))]
    """

    checkpoint_key = "nda_mm_outlier_exposure"

    def __init__(
        self,
        negative: Negative | Mapping[str, Any],
        weight: float | Sequence[Sequence[float]] | Mapping[str, Any] = 0.5,
        share: float = 1.0,
        update_statistics: bool = False,
        seed: int | None = None,
    ) -> None:
        super().__init__(negative, weight, seed)
        self.share = share
        self.update_statistics = update_statistics

    def build(self, runner: Runner, model: nn.Module, seed: int) -> OutlierExposure:
        """Build the loss on negatives, after checking that the model is a classifier with a softmax."""
        return OutlierExposure(
            model, self.negative, share=self.share, update_statistics=self.update_statistics, seed=seed
        )
