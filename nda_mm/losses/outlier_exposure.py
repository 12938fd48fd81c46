"""Outlier exposure: a classifier is to be certain of nothing on what is no data."""

from __future__ import annotations

from torch import Tensor

__all__ = ["outlier_exposure"]


def outlier_exposure(logits: Tensor) -> Tensor:
    r"""Compute the cross-entropy of a classifier's predictions on outliers to the uniform distribution.

    .. math:: -\frac{1}{NK} \sum_{i=1}^{N} \sum_{k=1}^{K} \log \operatorname{softmax}(z_i)_k

    Its minimum, :math:`\log K`, is reached where all logits of an image are equal. Hendrycks et al. add half of it to
    the cross-entropy on the data.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606, section 3.

    Args:
        logits: A classifier's outputs for outliers, such as negatives. Half precision is computed in float32.

    Shape:
        ``(N, K)``.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shape is another, or empty.

    Example:
        >>> import torch
        >>> outlier_exposure(torch.zeros(3, 10)), torch.tensor(10.0).log()
        (tensor(2.3026), tensor(2.3026))
    """
    if logits.ndim != 2 or not logits.numel():
        raise ValueError(f"logits must have the shape (N, K) and not be empty, but got {tuple(logits.shape)}")
    logits = logits.float() if logits.itemsize < 4 else logits
    return (logits.logsumexp(dim=1) - logits.mean(dim=1)).mean()
