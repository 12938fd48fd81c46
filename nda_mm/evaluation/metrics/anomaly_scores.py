"""Anomaly scores of images, from a GAN's discriminator or from the logits or features of a classifier."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.model import is_model_wrapper
from torch import Tensor, nn

from nda_mm.functional.checks import check_choice
from nda_mm.models.gans.sampling import from_rgb

CLASS_REDUCTIONS = ("max", "mean", "logsumexp")
#: Kinds of scores that :func:`classifier_scores` computes.
CLASSIFIER_SCORES = ("msp", "energy", "max_logit")


@contextmanager
def scoring(model: Any, part: str | None = "discriminator") -> Iterator[Any]:
    """Yield the network that scores images, in eval mode and without random augmentation; restore it afterwards.

    Args:
        model: A GAN of mmagic, a classifier, or any other model.
        part: Name of the submodule that scores; None for the model itself. Defaults to ``'discriminator'``.

    Raises:
        ValueError: If the model has no such submodule.
    """
    network = model if part is None else getattr(model, part, None)
    if network is None:
        raise ValueError(
            f"{type(model).__name__} has no {part} to score images with; build it with one, and load a checkpoint that "
            "contains it (published weights are often those of the generator only)"
        )
    if is_model_wrapper(network):
        network = network.module
    # Switch to eval mode, without augmentation.
    modes = {module: module.training for module in network.modules()}
    augmenting = getattr(network, "with_ada", None)
    network.eval()
    if augmenting:  # mmagic's StyleGAN2 also augments in eval mode
        network.with_ada = False
    try:
        with torch.no_grad():
            yield network
    finally:
        for module, mode in modes.items():
            module.training = mode
        if augmenting:
            network.with_ada = augmenting


def layers_that_mix(network: nn.Module) -> list[str]:
    """List the layers through which images of a batch affect each other's scores in eval mode.

    The minibatch standard deviation is such a layer; batch normalization with running statistics is not.
    """
    return [
        name
        for name, module in network.named_modules()
        if "stddev" in type(module).__name__.lower()
        or (isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None)
    ]


def score_images(model: Any, images: np.ndarray, *, batch_size: int = 256, class_reduction: str = "max") -> np.ndarray:
    """Score images with a GAN's discriminator: **a higher score means more anomalous**.

    Args:
        model: A GAN of mmagic with a discriminator.
        images: uint8 RGB images, of the size that the discriminator was trained with. Shape: (N, H, W, 3).
        batch_size: Images per forward pass; 1 is used if the discriminator compares the images of a batch. Defaults to
            256.
        class_reduction: See :func:`anomaly_scores`. Defaults to ``'max'``.

    Returns:
        Scores, float64. Shape: (N,).

    Raises:
        ValueError: If the model has no discriminator.
    """
    scores = []
    with scoring(model) as discriminator:
        step = 1 if layers_that_mix(discriminator) else batch_size
        for start in range(0, len(images), step):
            pixels = torch.from_numpy(images[start : start + step].copy()).permute(0, 3, 1, 2)
            seen = from_rgb(model.data_preprocessor, pixels)
            scores.append(anomaly_scores(discriminator, seen, class_reduction=class_reduction))
    return torch.cat(scores).numpy() if scores else np.empty(0)


def anomaly_scores(discriminator: Any, images: Tensor, *, class_reduction: str = "max") -> Tensor:
    r"""Score images with a discriminator: **a higher score means more anomalous**.

    The discriminator was trained to give data a high logit and everything else, including negatives, a low one, so the
    score is :math:`-D(x)`. A conditional discriminator also needs a class :math:`y`. OOD images have none, so labels
    are not used, not even for ID images. Instead, the logits of all K classes are reduced by

    * ``'max'``: :math:`-\max_y D(x, y)`. An image is anomalous if it is not a good example of any class.
    * ``'mean'``: :math:`-\frac{1}{K} \sum_y D(x, y)`. For a projection discriminator, this is the score under the mean
      embedding, so the class cancels out. Classes that do not fit weigh as much as the one that does.
    * ``'logsumexp'``: :math:`-\log \frac{1}{K} \sum_y e^{D(x, y)}`, between the two. If logits are log-ratios of
      densities (logistic loss) and classes are equally frequent, this is the score of the unconditional densities.

    Args:
        discriminator: A discriminator of mmagic, in eval mode.
        images: Preprocessed images. Shape: (N, C, H, W).
        class_reduction: See above; not used without classes. Defaults to ``'max'``.

    Returns:
        Scores, float64, on the CPU. The logits of a patch discriminator are averaged over the patches. See
        :func:`class_logits` for the cost of K classes. Shape: (N,).
    """
    classes = count_classes(discriminator)
    if not classes:
        return -_logits(discriminator(images))
    logits = class_logits(discriminator, images, classes)
    if class_reduction == "max":
        return -logits.amax(dim=1)
    if class_reduction == "mean":
        return -logits.mean(dim=1)
    return math.log(classes) - logits.logsumexp(dim=1)


def count_classes(discriminator: Any) -> int:
    """Return the number of classes of a conditional discriminator of mmagic; 0 if it takes no labels."""
    if "label" not in inspect.signature(discriminator.forward).parameters:
        return 0
    return int(getattr(discriminator, "num_classes", 0) or 0)


def class_logits(discriminator: Any, images: Tensor, classes: int) -> Tensor:
    r"""Compute the logits of images for every class.

    A projection discriminator, such as those of BigGAN, SAGAN and SNGAN, computes
    :math:`D(x, y) = \psi(\phi(x)) + e_y \cdot \phi(x)`. Its features :math:`\phi(x)` are taken from one forward pass,
    and the logits of all classes are computed from its last two layers, ``decision`` and ``proj_y``. A thousand classes
    thus cost hardly more than one. Every batch checks that the discriminator has this form, by giving its images
    different classes. Any other discriminator is run once per class.

    Source: Miyato and Koyama, "cGANs with projection discriminator", ICLR 2018, https://arxiv.org/abs/1802.05637.

    Args:
        discriminator: A conditional discriminator of mmagic, in eval mode.
        images: Preprocessed images. Shape: (N, C, H, W).
        classes: Number of classes, K.

    Returns:
        Logits, float64, on the CPU. Shape: (N, K).
    """
    with torch.no_grad():
        logits = _by_projection(discriminator, images, classes)
        if logits is not None:
            return logits
        label = images.new_empty(len(images), dtype=torch.long)
        rows = [_logits(discriminator(images, label=label.fill_(each))) for each in range(classes)]
        return torch.stack(rows, dim=1)


def _by_projection(discriminator: Any, images: Tensor, classes: int) -> Tensor | None:
    """Compute :func:`class_logits` in one pass; return None if the discriminator has a different form."""
    decision, embedding = (getattr(discriminator, name, None) for name in ("decision", "proj_y"))
    if classes < 2 or not isinstance(decision, nn.Module) or not isinstance(embedding, nn.Module):
        return None
    # Run one pass with cycling classes, and record the input and output of the last layer.
    seen: list[tuple[Tensor, Tensor]] = []
    hook = decision.register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    label = torch.arange(len(images), device=images.device) % classes
    try:
        output = discriminator(images, label=label)
    finally:
        hook.remove()
    embedded = _double(embedding(torch.arange(classes, device=images.device)))
    if len(seen) != 1 or seen[0][0].shape != (len(images), embedded.shape[-1]) or seen[0][1].shape != output.shape:
        return None
    # Compute the logits of all classes from the features.
    features, plain = (_double(each) for each in seen[0])
    logits = plain + features @ embedded.T
    # They must agree with the output of the pass at the classes it was given.
    found, expected = logits.gather(1, label.cpu()[:, None]), _double(output)
    # The pass computes these terms in its own precision, so the tolerance is relative to their size.
    size = (plain.abs() + features.abs() @ embedded.abs().T).gather(1, label.cpu()[:, None])
    tolerance = max(1e-4, 16 * torch.finfo(output.dtype).eps)
    return logits if bool(((found - expected).abs() <= tolerance * size).all()) else None


def _double(values: Tensor) -> Tensor:
    return values.detach().cpu().double()  # not every device has float64


def _logits(output: Tensor) -> Tensor:
    return _double(output.flatten(1)).mean(dim=1)


def classifier_scores(logits: Tensor, kind: str = "msp") -> Tensor:
    r"""Score images by a classifier's logits :math:`z`: **a higher score means more anomalous**.

    * ``'msp'``, minus the maximum softmax probability: :math:`-\max_k \operatorname{softmax}(z)_k`
    * ``'energy'``: :math:`-\log \sum_k e^{z_k}`
    * ``'max_logit'``: :math:`-\max_k z_k`

    Source: Hendrycks and Gimpel, ICLR 2017, https://arxiv.org/abs/1610.02136; Liu et al., NeurIPS 2020,
    https://arxiv.org/abs/2010.03759; Hendrycks et al., ICML 2022, https://arxiv.org/abs/1911.11132.

    Args:
        logits: Logits of the images. Shape: (N, K).
        kind: See above. Defaults to ``'msp'``.

    Returns:
        Scores, on the CPU, in float64 so that a softmax near 1 keeps its precision. Shape: (N,).

    Raises:
        ValueError: If the kind is unknown.

    Example:
        >>> import torch
        >>> classifier_scores(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), "max_logit").tolist()
        [-0.0, -9.0]
    """
    check_choice(kind, "kind", CLASSIFIER_SCORES)
    values = _double(logits)
    if kind == "msp":
        return -values.softmax(dim=1).amax(dim=1)
    if kind == "energy":
        return -values.logsumexp(dim=1)
    return -values.amax(dim=1)


def penultimate_features(classifier: Any, images: Tensor) -> Tensor:
    """Compute the input features of the last linear layer of an ``ImageClassifier`` of mmpretrain.

    Args:
        classifier: The classifier, in eval mode.
        images: Preprocessed images. Shape: (N, C, H, W).

    Returns:
        Features, float32, on the images' device. Shape: (N, D).

    Raises:
        ValueError: If the head does not give such features.
    """
    if not hasattr(getattr(classifier, "head", None), "pre_logits"):
        raise ValueError(f"score='knn' needs a head with pre_logits, but {type(classifier).__name__} has none")
    features = classifier.extract_feat(images, stage="pre_logits")
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError("score='knn' needs features of shape (N, D) from the head's pre_logits")
    return features.detach().float()
