"""Cross-entropy losses with negatives, as extra keys of a contrastive loss or as images that belong to no class.

Negative keys enter only the denominator of their own image's row.

Source: Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113, for the
objective; van den Oord et al., 2018, https://arxiv.org/abs/1807.03748, for InfoNCE; He et al., "Momentum Contrast",
CVPR 2020, https://arxiv.org/abs/1911.05722, for the queue.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..functional.checks import check_floating, check_number, check_positive


def check_negative_weight(negative_weight: float) -> float:
    """Return ``negative_weight`` as a float if it is finite and >= 0, or raise TypeError or ValueError."""
    weight = check_number(negative_weight, "negative_weight")
    if not 0.0 <= weight < math.inf:
        raise ValueError(f"negative_weight must be finite and at least 0, but got {negative_weight}")
    return weight


def negative_logits(
    query: Tensor,
    negative_keys: Tensor,
    *,
    temperature: float,
    negative_weight: float = 1.0,
    similarity_scale: float = 1.0,
) -> Tensor:
    """Compute the logits of each query with its own negatives: ``a q_i . n_ij / temperature + log w``.

    Args:
        query: Features of unit length, ``(B, C)``.
        negative_keys: Features of unit length, ``(B, m, C)``; those of row ``i`` were made from image ``i``.
        temperature: Softmax temperature, above 0.
        negative_weight: Weight ``w`` of the negatives, above 0 in this function. Defaults to 1.
        similarity_scale: Scale ``a`` of the similarities, above 0. Defaults to 1.

    Returns:
        Additional columns for the rows of logits, ``(B, m)``.

    Raises:
        ValueError: If shapes do not fit together, or a number is out of range.

    Example:
        >>> query, keys = torch.tensor([[1.0, 0.0]]), torch.tensor([[[0.0, 1.0], [1.0, 0.0]]])
        >>> negative_logits(query, keys, temperature=0.5)
        tensor([[0., 2.]])
    """
    check_positive(temperature, "temperature")
    weight = check_positive(negative_weight, "negative_weight")
    scale = check_positive(similarity_scale, "similarity_scale")
    batch, channels = query.shape
    if negative_keys.ndim != 3 or negative_keys.shape[::2] != (batch, channels):
        raise ValueError(
            f"negative_keys must be (B, m, C) = ({batch}, m, {channels}), but got {tuple(negative_keys.shape)}"
        )
    logits = torch.einsum("bc,bmc->bm", query, negative_keys) / temperature
    # A scale or weight of 1 changes nothing, but would cost a pass over the logits.
    logits = logits * scale if scale != 1.0 else logits
    return logits + math.log(weight) if weight != 1.0 else logits


@torch.no_grad()
def mixed_keys(
    query: Tensor,
    queue: Tensor,
    *,
    hardest: int = 1024,
    mixed: int = 1024,
    with_query: int = 0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Mix additional negative keys for each query from its nearest keys in the queue (MoCHi).

    .. math::
        h = \frac{a\, n_i + (1 - a)\, n_j}{\lVert a\, n_i + (1 - a)\, n_j \rVert}, \quad a \sim U(0, 1), \qquad
        h' = \frac{b\, q + (1 - b)\, n_j}{\lVert b\, q + (1 - b)\, n_j \rVert}, \quad b \sim U(0, \tfrac{1}{2})

    For each mixed key, :math:`n_i` and :math:`n_j` are drawn anew from the ``hardest`` keys of the query. The share of
    the query itself stays below one half. Pass the mixed keys as ``negative_keys`` to :func:`info_nce`.

    Source: Kalantidis et al., "Hard Negative Mixing for Contrastive Learning", NeurIPS 2020, section 4,
    https://arxiv.org/abs/2010.01028.

    Args:
        query: Features of unit length, ``(B, C)``.
        queue: Earlier keys as columns of unit length, ``(C, K)``.
        hardest: ``N``, number of nearest keys to mix from, between 1 and ``K``. Defaults to 1024.
        mixed: ``s``, number of keys mixed from two hard keys each, at least 0. Defaults to 1024.
        with_query: ``s'``, number of keys mixed from a hard key and the query, at least 0. Defaults to 0.
        generator: Random generator on the query's device. Defaults to torch's default generator.

    Returns:
        Keys of unit length, ``(B, s + s', C)``, without gradient.

    Raises:
        ValueError: If shapes do not fit together, or a number is out of range.

    Example:
        >>> query, queue = torch.tensor([[1.0, 0.0]]), torch.eye(2)
        >>> mixed_keys(query, queue, hardest=1, mixed=1)  # the nearest key, mixed with itself
        tensor([[[1., 0.]]])
    """
    if query.ndim != 2 or queue.ndim != 2 or len(queue) != query.shape[1]:
        raise ValueError(f"queue must be (C, K) for query (B, C), but got {tuple(queue.shape)}, {tuple(query.shape)}")
    if not 1 <= hardest <= queue.shape[1]:
        raise ValueError(f"hardest must be between 1 and the {queue.shape[1]} keys of the queue, but got {hardest}")
    if mixed < 0 or with_query < 0:
        raise ValueError(f"mixed and with_query must be at least 0, but got {mixed} and {with_query}")
    places = (query @ queue).topk(hardest, dim=1).indices

    def hard_keys(count: int) -> Tensor:
        """Draw hard keys for each query, ``(B, count, C)``."""
        chosen = torch.randint(hardest, (len(query), count), generator=generator, device=query.device)
        return queue.T[places.gather(1, chosen)].to(query.dtype)

    def shares(count: int) -> Tensor:
        return torch.rand(len(query), count, 1, generator=generator, device=query.device, dtype=query.dtype)

    # Mix pairs of hard keys, then hard keys with the query.
    share = shares(mixed)
    pairs = share * hard_keys(mixed) + (1 - share) * hard_keys(mixed)
    share = shares(with_query) / 2
    own = share * query[:, None] + (1 - share) * hard_keys(with_query)
    return F.normalize(torch.cat([pairs, own], dim=1), dim=2)


def info_nce(
    query: Tensor,
    key: Tensor,
    queue: Tensor,
    negative_keys: Tensor | None = None,
    *,
    temperature: float,
    negative_weight: float = 1.0,
    similarity_scale: float = 1.0,
) -> Tensor:
    """Compute InfoNCE with a positive key, a queue, and negatives made from the query's own image.

    For query ``q_i``, positive key ``k_i``, queue ``K`` and negative keys ``n_ij``::

        loss_i = -log( e(k_i) / ( e(k_i) + sum_K e(k) + w * sum_j e(n_ij)^a ) ),   e(k) = exp(q_i . k / temperature)

    and the loss is the mean over ``i``. The weight is added to the negatives' logits as ``log w``. At ``w = 0`` the
    loss equals the one without negatives bit for bit. The scale ``a`` multiplies the similarity of the negatives: above
    1 it emphasizes those close to the query, whereas ``w`` weights them all equally. At ``a = w = 1`` a negative is
    just one more key. Gradients flow into everything that is not detached: MoCo detaches its keys, DPC does not detach
    its targets.

    Source: see the module. Only the negatives of image ``i`` enter row ``i``: they say what this image is not.

    Args:
        query: Features of unit length, ``(B, C)`` (``torch.nn.functional.normalize(query, dim=1)``).
        key: Features of unit length of the other view of each image, ``(B, C)``.
        queue: Earlier keys as columns of unit length, ``(C, K)``, laid out as MoCo's buffer. ``K`` may be 0 if there
            are negatives.
        negative_keys: Features of unit length of the negatives, ``(B, m, C)``, or None. Defaults to None.
        temperature: Softmax temperature, above 0. MoCo v1 uses 0.07 and v2 0.2.
        negative_weight: Weight ``w`` of the negatives, finite and at least 0. Defaults to 1.
        similarity_scale: Scale ``a`` of the similarities of the negatives, above 0. Ge et al. call it alpha and use 2
            or 3 (https://arxiv.org/abs/2110.14189, eq. 2). Defaults to 1.

    Shape:
        float16 and bfloat16 are promoted to float32, in which exponentials do not overflow at small temperatures.

    Returns:
        A scalar.

    Raises:
        ValueError: If shapes do not fit together, there is nothing to contrast with, or a number is out of range.
        TypeError: If features are not floating-point tensors.

    Example:
        >>> query = key = torch.tensor([[1.0, 0.0]])
        >>> queue = torch.tensor([[0.0], [1.0]])  # one earlier key, at right angles
        >>> round(info_nce(query, key, queue, temperature=1.0).item(), 4)  # log(1 + 1 / e)
        0.3133
        >>> negative = torch.tensor([[[0.0, 1.0]]])
        >>> round(info_nce(query, key, queue, negative, temperature=1.0).item(), 4)  # log(1 + 2 / e)
        0.5514
    """
    check_positive(temperature, "temperature")
    weight = check_negative_weight(negative_weight)
    query, key, queue = check_floating(query, "query"), check_floating(key, "key"), check_floating(queue, "queue")
    if query.ndim != 2 or query.shape != key.shape or len(query) == 0:
        raise ValueError(f"query and key must both be (B, C), but got {tuple(query.shape)} and {tuple(key.shape)}")
    if queue.ndim != 2 or len(queue) != query.shape[1]:
        raise ValueError(f"queue must be (C, K) = ({query.shape[1]}, K), but got {tuple(queue.shape)}")
    # The positive is column 0, the queue follows, and the row's own negatives come last.
    rows = [(query * key).sum(dim=1, keepdim=True), query @ queue]
    logits = torch.cat(rows, dim=1) / temperature
    if negative_keys is not None and weight > 0.0:
        negatives = negative_logits(
            query,
            check_floating(negative_keys, "negative_keys"),
            temperature=temperature,
            negative_weight=weight,
            similarity_scale=similarity_scale,
        )
        logits = torch.cat([logits, negatives], dim=1)
    if logits.shape[1] == 1:
        raise ValueError("there is nothing to contrast with: the queue is empty and there are no negatives")
    return F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.long))


def outlier_exposure(logits: Tensor) -> Tensor:
    r"""Compute the cross-entropy between the uniform distribution and a classifier's predictions on outliers.

    .. math:: -\frac{1}{NK} \sum_{i=1}^{N} \sum_{k=1}^{K} \log \operatorname{softmax}(z_i)_k

    Its minimum, :math:`\log K`, is reached when all logits of an image are equal. Hendrycks et al. add half of it to
    the cross-entropy on the data.

    Source: Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606, section 3.

    Args:
        logits: Outputs of a classifier for outliers, such as negatives. Half precision is promoted to float32.

    Shape:
        ``(N, K)``.

    Returns:
        A scalar.

    Raises:
        ValueError: If the shape is not ``(N, K)``, or there are no logits.

    Example:
        >>> outlier_exposure(torch.zeros(3, 10)), torch.tensor(10.0).log()
        (tensor(2.3026), tensor(2.3026))
    """
    if logits.ndim != 2 or not logits.numel():
        raise ValueError(f"logits must have the shape (N, K) and not be empty, but got {tuple(logits.shape)}")
    logits = logits.float() if logits.itemsize < 4 else logits
    return (logits.logsumexp(dim=1) - logits.mean(dim=1)).mean()
