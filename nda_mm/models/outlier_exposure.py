"""Outlier exposure for mmpretrain's classifiers, added by a module hook without changing the model's code."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmpretrain.models import ImageClassifier
from torch import Tensor

from nda_mm.losses import outlier_exposure
from nda_mm.models.attached import AttachedNegatives, call_without_buffer_updates
from nda_mm.negatives import Negative


class OutlierExposure(AttachedNegatives):
    r"""Adds outlier exposure to a classifier's loss: its cross-entropy to the uniform distribution on negatives.

    .. math:: L = L_{host} + w \cdot \frac{1}{N} \sum_{i=1}^{N} H\big(\mathcal{U}, p(y \mid \bar x_i)\big)

    The negatives :math:`\bar x` are made from the batch as the model receives it: normalized and, if the recipe uses
    them, after mixup and CutMix. They go through the model in a separate forward pass, with gradients. By default that
    pass uses copies of the model's buffers, so the running statistics come from real images alone.

    With mmengine's Runner, use :class:`nda_mm.engine.NDAOutlierExposureHook`.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606; see :func:`nda_mm.losses.outlier_exposure`.

    Args:
        model: ``ImageClassifier`` of mmpretrain with a softmax head, without a distributed wrapper.
        negative: Negative that is applied to the images of the batch.
        share: Share of the batch that negatives are made from, in (0, 1]. Below 1, each step draws the images, at
            least two. Defaults to 1.
        update_statistics: Whether negatives update the running statistics of batch normalization. Defaults to False.
        seed: Seed for the random draws, combined with the iteration and the rank. Defaults to 0.

    Raises:
        TypeError: If the model is not such a classifier.
        ValueError: If ``share`` is outside (0, 1].
    """

    stream = 50
    default_weight = 0.5

    def __init__(
        self,
        model: Any,
        negative: Negative,
        *,
        share: float = 1.0,
        update_statistics: bool = False,
        seed: int = 0,
    ) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, but got {share!r}.")
        check_classifier(model)
        super().__init__(model, negative, seed)
        self.share = share
        self.update_statistics = update_statistics

    def register_hooks(self) -> list[Any]:
        """Register the hook that adds the loss."""
        return [self.model.register_forward_hook(self._add_loss, with_kwargs=True)]

    @torch.compiler.disable
    def _add_loss(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Add the loss on negatives to the model's output, after the forward pass."""
        images = self.training_inputs(args, kwargs)
        if images is None or self.weight == 0.0:
            return None
        negatives = self._make(images)
        if self.update_statistics:
            logits = self.model(negatives, mode="tensor")
        else:
            logits = call_without_buffer_updates(self.model, negatives, mode="tensor")
        confidence = logits.detach().float().softmax(dim=1).amax(dim=1).mean()
        return {
            **output,
            "loss_outlier_exposure": self.weight * outlier_exposure(logits),
            "negative_confidence": confidence,
        }

    @torch.no_grad()
    def _make(self, images: Tensor) -> Tensor:
        self.negative.check_size(*images.shape[-2:])
        generator = self.generator(images.device)
        if self.share < 1:
            count = max(2, math.ceil(self.share * len(images)))
            images = images[torch.randperm(len(images), generator=generator, device=images.device)[:count]]
        return self.negative(images, generator=generator)


def check_classifier(model: Any) -> None:
    """Check that a model outputs the logits of a softmax.

    Raises:
        TypeError: If the model is not an ``ImageClassifier``, or if its loss treats each class separately.
    """
    head = getattr(model, "head", None)
    loss = getattr(head, "loss_module", None)
    if not isinstance(model, ImageClassifier) or loss is None:
        raise TypeError(
            "NDAOutlierExposureHook needs an ImageClassifier of mmpretrain whose head has a loss_module, such as "
            f"LinearClsHead, but got {type(model).__name__} with {type(head).__name__}. In your own training loop, use "
            "nda_mm.losses.outlier_exposure."
        )
    if getattr(getattr(loss, "ce", loss), "use_sigmoid", False):  # LabelSmoothLoss wraps a cross-entropy loss
        raise TypeError(
            f"NDAOutlierExposureHook needs a softmax over the classes, but {type(loss).__name__} has use_sigmoid=True, "
            "which trains each class separately."
        )
