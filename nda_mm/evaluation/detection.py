"""How well scores separate OOD samples from ID samples: functions of two score vectors.

**A higher score means more anomalous**, in every function here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: What :func:`detection_measures` gives, in its order.
MEASURES = ("auroc", "aupr_out", "aupr_in", "fpr95")


def auroc(id_scores: Any, ood_scores: Any) -> float:
    r"""Compute the area under the ROC curve: the chance that an OOD sample scores above an ID one, ties counting half.

    .. math:: P(s_{out} > s_{in}) + \tfrac{1}{2} P(s_{out} = s_{in})

    Chance is 0.5, perfect is 1; below 0.5 the scores point the wrong way. The shares of the two kinds play no part.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.

    Args:
        id_scores: Scores of samples of the data, finite. A tensor, an array or a list of shape (N,), N at least 1.
        ood_scores: Scores of OOD samples, likewise.

    Returns:
        The area, in [0, 1].

    Raises:
        ValueError: If scores are empty, no vector, or not finite.

    Example:
        >>> auroc([0.0, 1.0], [1.0, 2.0])
        0.875
    """
    return detection_measures(id_scores, ood_scores)["auroc"]


def detection_measures(id_scores: Any, ood_scores: Any, *, trapezoid: bool = False) -> dict[str, float]:
    """Compute all measures of :data:`MEASURES`, by scikit-learn.

    * ``auroc``: see :func:`auroc`.
    * ``aupr_out`` and ``aupr_in``: the area under the precision-recall curve as average precision, a step for each
      distinct score. What is to be found are the OOD samples, from the highest score downwards, or the ID ones, from
      the lowest upwards. Chance is the share of that kind, so values compare only at equal counts.
    * ``fpr95``: the share of ID samples that raise a false alarm at the strictest threshold that finds at least 95 % of
      the OOD ones. Others call the ID samples positive (Liang et al., ODIN, ICLR 2018,
      https://arxiv.org/abs/1706.02690), which gives other values. 0 is perfect; where all scores are equal it is 1.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why a straight
    line between points is too optimistic); Hendrycks et al., "Deep anomaly detection with outlier exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606 (``fpr95``).

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        trapezoid: Whether points of the precision-recall curve are joined by straight lines, from precision 1 at recall
            0, as OpenOOD and pytorch-ood have it. About the same without ties, and larger with many: 0.76 instead of
            0.70 for 20,000 scores rounded to whole numbers. Default False.

    Raises:
        ValueError: As :func:`auroc`.

    Example:
        >>> detection_measures([0.0, 1.0], [2.0, 3.0])
        {'auroc': 1.0, 'aupr_out': 1.0, 'aupr_in': 1.0, 'fpr95': 0.0}
    """
    # Not before it is needed: it takes a second.
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    def area(positive: np.ndarray, sureness: np.ndarray) -> float:
        if not trapezoid:
            return float(average_precision_score(positive, sureness))
        precision, recall, _ = precision_recall_curve(positive, sureness)
        return float(auc(recall, precision))

    kinds = _checked(id_scores, "id_scores"), _checked(ood_scores, "ood_scores")
    is_ood, scores = np.repeat([False, True], [len(kind) for kind in kinds]), np.concatenate(kinds)
    alarms, found, _ = roc_curve(is_ood, scores, drop_intermediate=False)
    return dict(
        auroc=float(roc_auc_score(is_ood, scores)),
        aupr_out=area(is_ood, scores),
        aupr_in=area(~is_ood, -scores),
        fpr95=float(alarms[np.argmax(found >= 0.95)]),
    )


def bootstrap_intervals(
    id_scores: Any,
    ood_scores: Any,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
    trapezoid: bool = False,
) -> dict[str, tuple[float, float]]:
    """Compute percentile intervals of :func:`detection_measures` over samples drawn with replacement.

    The two kinds are drawn apart, each at its own count (stratified), as the shares of the kinds are the experiment's
    choice. The intervals tell how much depends on which images were drawn, not on which network was trained: for that,
    train over seeds. Of few samples they are too narrow, and where the kinds don't overlap at all they have no width.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        resamples: Number of draws, at least 1. Default 1000.
        confidence: In (0, 1). Default 0.95.
        seed: Of the draws. Default 0.
        trapezoid: See :func:`detection_measures`. Default False.

    Returns:
        Lower and upper end by the name of the measure.

    Raises:
        ValueError: As :func:`auroc`, or if an argument is out of its range.

    Example:
        >>> bootstrap_intervals([0.0, 1.0], [2.0, 3.0], resamples=10)["auroc"]
        (1.0, 1.0)
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"resamples must be at least 1 and confidence in (0, 1), but got resamples={resamples}, "
            f"confidence={confidence}"
        )
    kinds = _checked(id_scores, "id_scores"), _checked(ood_scores, "ood_scores")
    # No measure needs more than the places of the scores among all distinct ones, so no resample is sorted again.
    distinct, places = np.unique(np.concatenate(kinds), return_inverse=True)
    id_places, ood_places = places[: len(kinds[0])], places[len(kinds[0]) :]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        drawn = (kind[rng.integers(0, len(kind), len(kind))] for kind in (id_places, ood_places))
        id_counts, ood_counts = (np.bincount(each, minlength=len(distinct)) for each in drawn)
        values.append(_measures_of_counts(id_counts, ood_counts, trapezoid))
    ends = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(MEASURES, *ends, strict=True)}


def _checked(values: Any, name: str) -> np.ndarray:
    scores = np.asarray(values.detach().cpu().double() if hasattr(values, "detach") else values, dtype=np.float64)
    if scores.ndim != 1 or not len(scores):
        raise ValueError(f"{name} must have the shape (N,), N at least 1, but got {scores.shape}")
    wrong = int((~np.isfinite(scores)).sum())
    if wrong:
        raise ValueError(
            f"{wrong} of {len(scores)} {name} are not finite; did the network diverge, is an image broken?"
        )
    return scores


def _measures_of_counts(id_counts: np.ndarray, ood_counts: np.ndarray, trapezoid: bool) -> list[float]:
    """:func:`detection_measures` from how often each distinct score, ascending, occurs."""
    # Twice the number of pairs in the right order: whole numbers, so exact.
    pairs = int((ood_counts * (2 * id_counts.cumsum() - id_counts)).sum()) / 2
    found, alarms = ood_counts[::-1].cumsum(), id_counts[::-1].cumsum()
    first = int(np.argmax(found / found[-1] >= 0.95))
    return [
        pairs / (int(id_counts.sum()) * int(ood_counts.sum())),
        _area_of_counts(id_counts[::-1], ood_counts[::-1], trapezoid),
        _area_of_counts(ood_counts, id_counts, trapezoid),
        alarms[first] / alarms[-1],
    ]


def _area_of_counts(negatives: np.ndarray, positives: np.ndarray, trapezoid: bool) -> float:
    """Area under the precision-recall curve from how often each distinct score occurs, the surest positive first."""
    found = positives.cumsum()
    seen = found + negatives.cumsum()
    precision = np.where(seen > 0, found / np.maximum(seen, 1), 1.0)  # 1 before the first score that was drawn
    if trapezoid:
        precision = (precision + np.concatenate([[1.0], precision[:-1]])) / 2
    return float((positives * precision).sum() / found[-1])
