"""How outlying a discriminator finds images: its logit with the sign turned, whatever class it asks for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

CLASS_REDUCTIONS = ("max", "mean", "logsumexp")


def count_classes(discriminator: Any) -> int:
    """Number of classes that a discriminator of mmagic reads beside the image; 0 if it reads none."""
    if "label" not in inspect.signature(discriminator.forward).parameters:
        return 0
    return int(getattr(discriminator, "num_classes", 0) or 0)


def layers_that_mix(discriminator: nn.Module) -> list[str]:
    """Names of the layers through which, in evaluation, images of one batch change each other's scores.

    Batch normalisation by its running statistics does not; the minibatch standard deviation does.
    """
    return [
        name
        for name, module in discriminator.named_modules()
        if "stddev" in type(module).__name__.lower()
        or (isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None)
    ]


@contextmanager
def scoring(model: Any) -> Iterator[Any]:
    """The discriminator of a GAN of mmagic, in evaluation and without its random augmentation; then as it came.

    Raises:
        ValueError: If the model has none.
    """
    discriminator = getattr(model, "discriminator", None)
    if discriminator is None:
        raise ValueError(
            f"{type(model).__name__} has no discriminator to score images with; build it with one, and load a "
            "checkpoint that holds it (a generator alone, as published weights often are, won't do)"
        )
    if is_model_wrapper(discriminator):
        discriminator = discriminator.module
    modes = {module: module.training for module in discriminator.modules()}
    augmenting = getattr(discriminator, "with_ada", None)
    discriminator.eval()
    if augmenting:  # mmagic's StyleGAN2 draws augmentations in evaluation too
        discriminator.with_ada = False
    try:
        with torch.no_grad():
            yield discriminator
    finally:
        for module, mode in modes.items():
            module.training = mode
        if augmenting:
            discriminator.with_ada = augmenting


def outlier_scores(discriminator: Any, images: Tensor, *, class_reduction: str = "max") -> Tensor:
    r"""Score images by a discriminator: **a higher score means more outlying**.

    The discriminator was trained to give data a high logit and everything else, negatives too, a low one; so the score
    is :math:`-D(x)`. One with classes asks for the class :math:`y`, which an outlying image does not have, and which is
    therefore given to none, not even to images of the data that have it. Over all K classes it is reduced to

    * ``'max'``: :math:`-\max_y D(x, y)`. An image is outlying if it is a good example of no class.
    * ``'mean'``: :math:`-\frac{1}{K} \sum_y D(x, y)`. With a projection discriminator, the score under the mean
      embedding: class cancels out. Classes that don't fit weigh as much as the one that does.
    * ``'logsumexp'``: :math:`-\log \frac{1}{K} \sum_y e^{D(x, y)}`, between the two. Where logits are log-ratios of
      densities (logistic loss) and classes equally frequent, it is that of the densities without class.

    Args:
        discriminator: One of mmagic, in evaluation mode.
        images: As the networks see them. Shape: (N, C, H, W).
        class_reduction: See above; without classes it plays no part. Default ``'max'``.

    Returns:
        float64 on the CPU, shape (N,). A discriminator of patches is averaged over them. With K classes it costs K
        passes.

    Raises:
        ValueError: If the name is unknown.
    """
    if class_reduction not in CLASS_REDUCTIONS:
        raise ValueError(f"class_reduction must be one of {CLASS_REDUCTIONS}, but got {class_reduction!r}")
    classes = count_classes(discriminator)
    if not classes:
        return -_logits(discriminator(images))
    label = images.new_empty(len(images), dtype=torch.long)
    logits = torch.stack([_logits(discriminator(images, label=label.fill_(each))) for each in range(classes)])
    if class_reduction == "max":
        return -logits.amax(dim=0)
    if class_reduction == "mean":
        return -logits.mean(dim=0)
    return math.log(classes) - logits.logsumexp(dim=0)


def _logits(output: Tensor) -> Tensor:
    return output.detach().flatten(1).cpu().double().mean(dim=1)  # not every device has float64
