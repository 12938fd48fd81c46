"""Contrastive loss of dense predictive coding on video, with negatives made from the same clips.

Source: Han, Xie, Zisserman, "Video Representation Learning by Dense Predictive Coding", ICCV workshops 2019,
https://arxiv.org/abs/1909.04656, for the loss without negatives; Sinha et al., "Negative Data Augmentation", ICLR 2021,
https://arxiv.org/abs/2102.05113, for the objective with them.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..functional.checks import check_choice, check_floating, check_positive
from .cross_entropy import check_negative_weight

#: Places at which a row sees the negatives of its block: all places, or only its own.
PLACES = ("all", "own")
#: Statistics that are computed along with the loss, in the order in which they are summed.
_TOP = (1, 3, 5)
_COUNTED = (
    *(f"top{k}_accuracy" for k in _TOP),
    "positive_share",
    "spatial_share",
    "temporal_share",
    "easy_share",
    "negative_share",
)


def check_negative_places(negative_places: str) -> str:
    """Return ``negative_places`` if it is one of :data:`PLACES`, or raise ValueError."""
    return check_choice(negative_places, "negative_places", PLACES)


def dense_contrast(
    prediction: Tensor,
    target: Tensor,
    negatives: Tensor | None = None,
    *,
    negative_weight: float = 1.0,
    negative_places: str = "all",
    usable: Tensor | None = None,
    temperature: float = 1.0,
    samples_at_once: int | None = None,
) -> dict[str, Tensor]:
    """Compute the cross-entropy of every predicted place against all places of all blocks in the batch.

    A row is a place ``p`` of a predicted block ``n`` of a sample ``b``. Its columns are all places of all target blocks
    of all samples, and the positive is the column with the same ``(b, n, p)``. Rows and columns are ordered alike, so
    the positives are on the diagonal. With negatives, a row also sees the places of those made from **the same block
    of the same sample**, and of no other block. ``log negative_weight`` is added to their logits::

        loss = mean over rows of -log( e(positive) / ( sum over columns e + w * sum over negative places e ) ),
        e(feature) = exp(prediction . feature / temperature)

    Gradients flow into predictions, targets and negatives: DPC does not detach its targets.

    Source: see the module. Without negatives, or at weight 0, it is the loss of DPC.

    Args:
        prediction: Predicted features at each place.
        target: Actual features at each place.
        negatives: Features of the changed target blocks, ``m`` for each block, or None. Defaults to None.
        negative_weight: Weight ``w`` of the negatives, finite and at least 0. Defaults to 1.
        negative_places: 'all': a row sees its block's negatives at every place; 'own': only at its own place. A jigsaw
            moves tiles, so 'all' always includes the true content of a place in the wrong surroundings, while 'own'
            includes it only if its tile has not moved. Defaults to 'all'.
        usable: False for negatives to leave out, because they equal the block they were made from. Defaults to None:
            all are used.
        temperature: Divisor of the logits, above 0. Defaults to 1, since DPC has no temperature.
        samples_at_once: Limits memory: the scores are computed for the rows of so many samples at a time and recomputed
            in the backward pass instead of kept, which costs one more product. Defaults to None: all at once.

    Shape:
        - prediction, target: ``(B, N, C, H, W)``
        - negatives: ``(B, m, N, C, H, W)``
        - usable: ``(B, m, N)``, bool

        The scores have ``R = B N H W`` rows and ``R`` columns, plus ``m H W`` (or ``m``) columns with negatives, in
        float32 (float64 for float64). About two such matrices, ``8 R^2`` bytes, are kept for the backward pass: 302 MB
        for DPC's batch of 128 with 3 blocks and 4 x 4 places, and an eighth of it with ``samples_at_once=16``.

    Returns:
        ``loss``, a scalar with gradient, and means over the rows without gradient: ``top1_accuracy``,
        ``top3_accuracy`` and ``top5_accuracy`` of the positive (a tie counts against it), and the probability of each
        kind of column. These sum to 1: ``positive_share``; ``spatial_share``, other places of the same sample;
        ``temporal_share``, the same place in its other blocks; ``easy_share``, other samples; ``negative_share``.

    Raises:
        ValueError: If shapes do not fit together, there is nothing to contrast with, or a number is out of range.
        TypeError: If features are not floating-point tensors.

    Example:
        >>> features = torch.eye(4).view(2, 2, 4, 1, 1)  # two samples, two blocks, one place: at right angles
        >>> terms = dense_contrast(features, features)
        >>> round(terms["loss"].item(), 4)  # log(1 + 3 / e)
        0.7437
        >>> negatives = torch.zeros(2, 1, 2, 4, 1, 1)
        >>> round(dense_contrast(features, features, negatives)["loss"].item(), 4)  # log(1 + 4 / e)
        0.9048
    """
    # Check the arguments.
    weight = check_negative_weight(negative_weight)
    check_negative_places(negative_places)
    check_positive(temperature, "temperature")
    if samples_at_once is not None and (type(samples_at_once) is not int or samples_at_once < 1):
        raise ValueError(f"samples_at_once must be a positive int or None, but got {samples_at_once!r}")
    prediction, target = check_floating(prediction, "prediction"), check_floating(target, "target")
    negatives = None if negatives is None else check_floating(negatives, "negatives")
    _check_shapes(prediction, target, negatives, usable)
    if weight == 0.0:
        negatives = None
    batch, blocks, channels, height, width = prediction.shape
    places = height * width
    if batch * blocks * places == 1 and negatives is None:
        raise ValueError("there is nothing to contrast with: one sample, one block, one place and no negatives")

    # No autocast: products of features can overflow in float16 and lose too much precision in bfloat16.
    with torch.autocast(prediction.device.type, enabled=False):
        queries = _rows(prediction).div(temperature)  # (B, N P, C)
        columns = _rows(target).reshape(-1, channels)  # (R, C)
        if negatives is not None:
            negatives = negatives.flatten(4).transpose(3, 4)  # (B, m, N, P, C)
            if usable is None:
                usable = torch.ones(negatives.shape[:3], dtype=torch.bool, device=negatives.device)
        # Score the rows of `step` samples at a time; in several steps, recompute them in the backward pass.
        step = batch if samples_at_once is None else min(samples_at_once, batch)
        score = partial(_score_rows, blocks=blocks, weight=weight, own_place=negative_places == "own")
        if step < batch:
            score = partial(checkpoint, score, use_reentrant=False)
        loss, counted = queries.new_zeros(()), queries.new_zeros(len(_COUNTED))
        for first in range(0, batch, step):
            part = slice(first, first + step)
            own = (None, None) if negatives is None or usable is None else (negatives[part], usable[part])
            added, counts = score(first, queries[part], columns, *own)
            loss, counted = loss + added, counted + counts
    count = batch * blocks * places
    return {"loss": loss / count, **dict(zip(_COUNTED, (counted / count).unbind()))}


def _score_rows(
    first: int,
    queries: Tensor,
    columns: Tensor,
    negatives: Tensor | None,
    usable: Tensor | None,
    *,
    blocks: int,
    weight: float,
    own_place: bool,
) -> tuple[Tensor, Tensor]:
    """Return the loss and the statistics, summed over the rows of the samples from ``first`` on."""
    samples, rows, channels = queries.shape
    places = rows // blocks
    logits = queries.reshape(-1, channels) @ columns.T  # (samples N P, R)
    positive = logits.diagonal(offset=first * rows)
    all_logits = logits
    if negatives is not None and usable is not None:
        all_logits = torch.cat([logits, _negative_logits(queries, negatives, usable, weight, own_place)], dim=1)
    normalizer = all_logits.logsumexp(dim=1)
    loss = (normalizer - positive).sum()
    with torch.no_grad():
        # The rank counts all logits that are not below the positive, including the positive itself.
        rank = (all_logits >= positive[:, None]).sum(dim=1)
        hits = [(rank <= k).sum() for k in _TOP]
        # Probabilities of the real columns, summed over ever larger groups; the rest belongs to the negatives.
        share = (logits - normalizer[:, None]).exp_().view(samples, rows, -1, rows)
        index = torch.arange(samples, device=logits.device)
        own = share[index, :, first + index].view(samples, blocks, places, blocks, places)
        same_place = own.diagonal(dim1=2, dim2=4)  # (samples, blocks, blocks, places)
        sums = [same_place.diagonal(dim1=1, dim2=2).sum(), same_place.sum(), own.sum(), share.sum()]
        shares = [sums[0], sums[2] - sums[1], sums[1] - sums[0], sums[3] - sums[2], len(logits) - sums[3]]
        counted = torch.stack([value.to(logits.dtype) for value in (*hits, *shares)])
    return loss, counted


def _negative_logits(queries: Tensor, negatives: Tensor, usable: Tensor, weight: float, own_place: bool) -> Tensor:
    """Return additional columns for the rows of some samples: ``(rows, m P)``, or ``(rows, m)`` at their own place."""
    samples, number, blocks, places, channels = negatives.shape
    by_block = queries.view(samples, blocks, places, channels)
    if own_place:
        logits = torch.einsum("bnpc,bmnpc->bnpm", by_block, negatives)
        allowed = usable.permute(0, 2, 1)[:, :, None, :]
    else:
        of_block = negatives.permute(0, 2, 1, 3, 4).reshape(samples, blocks, number * places, channels)
        logits = by_block @ of_block.transpose(2, 3)
        allowed = usable.permute(0, 2, 1).repeat_interleave(places, dim=2)[:, :, None, :]
    if weight != 1.0:
        logits = logits + math.log(weight)
    return logits.masked_fill(~allowed, -math.inf).flatten(0, 2)


def _rows(features: Tensor) -> Tensor:
    """Reshape ``(B, N, C, H, W)`` to ``(B, N H W, C)``."""
    return features.flatten(3).transpose(2, 3).flatten(1, 2)


def _check_shapes(prediction: Tensor, target: Tensor, negatives: Tensor | None, usable: Tensor | None) -> None:
    if prediction.ndim != 5 or prediction.shape != target.shape or prediction.numel() == 0:
        raise ValueError(
            f"prediction and target must both be (B, N, C, H, W) and not empty, but got {tuple(prediction.shape)} "
            f"and {tuple(target.shape)}"
        )
    shape = tuple(target.shape)
    made = () if negatives is None else tuple(negatives.shape)
    if negatives is not None and (len(made) != 6 or made[1] < 1 or (made[0], *made[2:]) != shape):
        raise ValueError(f"negatives must be (B, m, N, C, H, W) for targets {shape}, but got {made}")
    if usable is not None and (usable.dtype != torch.bool or usable.shape != made[:3]):
        raise ValueError(
            f"usable must be bool and (B, m, N) as the negatives, but got {usable.dtype} and {tuple(usable.shape)}"
        )
