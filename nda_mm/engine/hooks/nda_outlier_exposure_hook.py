"""Outlier exposure for a stock classifier, by one line in ``custom_hooks``."""

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
    """Trains a classifier to be certain of no class on negatives of its images.

    A stock recipe of mmpretrain needs only this line. The model's code and its checkpoint keys stay as they are; a step
    is described in :class:`nda_mm.models.outlier_exposure.OutlierExposure`. At weight 0 nothing is attached, and the
    run is mmpretrain's bit for bit. The maximum of the softmax, or the logits' energy, then tells images that are no
    data.

    Supports ``ImageClassifier`` with a softmax head, convolutional or a transformer, with mixup, cutmix or label
    smoothing. Other models are refused before the first step.

    Logged: ``loss_outlier_exposure``, weighted, and ``negative_confidence``, the mean of the highest probability on
    negatives; 1 / K where the classifier has learnt it.

    Note:
        Negatives are drawn from a generator that is seeded for every step from the seed, the iteration and the rank.
        The checkpoint keeps the seed, so a resumed run makes the same negatives. Dropout in their pass draws from the
        training's RNG state.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606, with negatives in place of a data set of outliers.

    Args:
        negative: What makes the negatives: a config such as ``dict(type='Jigsaw', grid=2)``.
        weight: Weight of the loss on negatives: finite and at least 0, or a schedule over iterations such as
            ``[(0, 0.0), (1000, 0.5)]``. Defaults to 0.5, as the source has it.
        share: Share of the batch that negatives are made of, in (0, 1]. Defaults to 1. A step then costs about two
            plain ones; with 0.5, one and a half.
        update_statistics: Whether negatives count in the running statistics of batch normalization. Defaults to False.
        seed: Of the negatives' draws. Defaults to None: the run's.

    Raises:
        TypeError, ValueError, KeyError: At construction if ``negative`` or ``weight`` is wrong; before the first step
            if another setting is, or the model is no such classifier.

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
        """Make the loss on negatives; refuse other models than classifiers with a softmax."""
        return OutlierExposure(
            model, self.negative, share=self.share, update_statistics=self.update_statistics, seed=seed
        )
