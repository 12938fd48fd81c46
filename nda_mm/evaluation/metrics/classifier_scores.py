"""What a classifier of mmpretrain gives to detect anomalies: scores of its logits, and its features."""

from __future__ import annotations

from typing import Any

from torch import Tensor

#: What :func:`classifier_scores` computes.
CLASSIFIER_SCORES = ("msp", "energy", "max_logit")


def classifier_scores(logits: Tensor, kind: str = "msp") -> Tensor:
    r"""Score images by a classifier's logits :math:`z`: **a higher score means more anomalous**.

    * ``'msp'``, minus the maximum of the softmax: :math:`-\max_k \operatorname{softmax}(z)_k`
    * ``'energy'``: :math:`-\log \sum_k e^{z_k}`
    * ``'max_logit'``: :math:`-\max_k z_k`

    Source: Hendrycks and Gimpel, ICLR 2017, https://arxiv.org/abs/1610.02136; Liu et al., NeurIPS 2020,
    https://arxiv.org/abs/2010.03759; Hendrycks et al., ICML 2022, https://arxiv.org/abs/1911.11132.

    Args:
        logits: Shape: (N, K).
        kind: See above.

    Returns:
        float64 on the CPU, where a softmax near 1 keeps its digits. Shape: (N,).

    Raises:
        ValueError: If the kind is unknown.

    Example:
        >>> import torch
        >>> classifier_scores(torch.tensor([[0.0, 0.0], [9.0, 0.0]]), "max_logit").tolist()
        [-0.0, -9.0]
    """
    values = logits.detach().cpu().double()
    if kind == "msp":
        return -values.softmax(dim=1).amax(dim=1)
    if kind == "energy":
        return -values.logsumexp(dim=1)
    if kind == "max_logit":
        return -values.amax(dim=1)
    raise ValueError(f"kind must be one of {', '.join(CLASSIFIER_SCORES)}, but got {kind!r}")


def penultimate_features(classifier: Any, images: Tensor) -> Tensor:
    """Take the features that the last linear layer of an ``ImageClassifier`` of mmpretrain reads.

    Args:
        classifier: In evaluation mode.
        images: As the network sees them. Shape: (N, C, H, W).

    Returns:
        float32, on the images' device. Shape: (N, D).

    Raises:
        ValueError: If the head has none.
    """
    if not hasattr(getattr(classifier, "head", None), "pre_logits"):
        raise ValueError(f"score='knn' needs a head with pre_logits, but {type(classifier).__name__} has none")
    features = classifier.extract_feat(images, stage="pre_logits")
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError("score='knn' needs features of shape (N, D) from the head's pre_logits")
    return features.detach().float()
