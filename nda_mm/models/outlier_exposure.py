"""Outlier exposure for the classifiers of mmpretrain, by a module hook: the model's code stays as it is."""

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
    r"""Adds the cross-entropy to the uniform distribution, on negatives of each batch, to a classifier's loss.

    .. math:: L = L_{host} + w \cdot \frac{1}{N} \sum_{i=1}^{N} H\big(\mathcal{U}, p(y \mid \bar x_i)\big)

    The negatives :math:`\bar x` are made from the batch as the model gets it, normalized and, where the recipe has
    them, after mixup and cutmix. They pass the model by themselves, with gradient. That pass works on copies of the
    model's buffers, so that the running statistics are those of real images.

    With mmengine's Runner use :class:`nda_mm.engine.NDAOutlierExposureHook`.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606; see :func:`nda_mm.losses.outlier_exposure`.

    Args:
        model: An ``ImageClassifier`` of mmpretrain with a softmax head, unwrapped.
        negative: Makes the negatives.
        share: Share of the batch that negatives are made of, in (0, 1]: at least two images, drawn in each step. By
            default 1.
        update_statistics: Whether the negatives count in the running statistics of batch normalization. Default False.
        seed: Of the draws, together with the iteration and the rank.

    Raises:
        TypeError: If the model is no such classifier.
        ValueError: If ``share`` is out of its range.
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
        """After the forward pass."""
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
    """Refuse models whose outputs are not the logits of a softmax.

    Raises:
        TypeError: If it is no ``ImageClassifier``, or its loss takes each class by itself.
    """
    head = getattr(model, "head", None)
    loss = getattr(head, "loss_module", None)
    if not isinstance(model, ImageClassifier) or loss is None:
        raise TypeError(
            "NDAOutlierExposureHook adds a loss to ImageClassifier of mmpretrain with a head that has a loss_module, "
            f"such as LinearClsHead, but got {type(model).__name__} with {type(head).__name__}. In a loop of your own, "
            "use nda_mm.losses.outlier_exposure."
        )
    if getattr(getattr(loss, "ce", loss), "use_sigmoid", False):  # LabelSmoothLoss wraps its own
        raise TypeError(
            f"NDAOutlierExposureHook needs a softmax over the classes, but {type(loss).__name__} has use_sigmoid=True, "
            "which trains each class by itself."
        )
