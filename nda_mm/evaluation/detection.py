"""How well scores separate OOD samples from ID samples: functions of two score vectors.

**A higher score means more anomalous**, in every function here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MEASURES", "aupr", "auroc", "bootstrap_intervals", "detection_measures", "fpr_at_tpr"]

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
    from sklearn.metrics import roc_auc_score  # not before it is needed: it takes a second

    return float(roc_auc_score(*_labeled(id_scores, ood_scores)))


def aupr(id_scores: Any, ood_scores: Any, *, positive: str = "ood", trapezoid: bool = False) -> float:
    """Compute the area under the precision-recall curve as average precision: a step for each distinct score.

    Chance is the share of the positive kind, so values compare only at equal counts. The trapezoidal area, which
    OpenOOD and pytorch-ood report, is about the same without ties, and larger with many: 0.76 instead of 0.70 for
    20,000 scores rounded to whole numbers.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why a straight
    line between points is too optimistic).

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        positive: What is to be found: ``'ood'`` (default), from the highest score downwards, or ``'id'``, from the
            lowest upwards.
        trapezoid: Whether points of the curve are joined by straight lines, from precision 1 at recall 0. Default
            False.

    Returns:
        The area, in (0, 1].

    Raises:
        ValueError: As :func:`auroc`, or if ``positive`` is unknown.

    Example:
        >>> aupr([0.0, 1.0], [2.0]), aupr([0.0, 1.0], [2.0], positive="id")
        (1.0, 1.0)
    """
    from sklearn.metrics import auc, average_precision_score, precision_recall_curve

    labeled = _labeled(id_scores, ood_scores, positive)
    if not trapezoid:
        return float(average_precision_score(*labeled))
    precision, recall, _ = precision_recall_curve(*labeled)
    return float(auc(recall, precision))


def fpr_at_tpr(id_scores: Any, ood_scores: Any, *, tpr: float = 0.95, positive: str = "ood") -> float:
    """Compute the rate of false positives at the strictest threshold that finds at least ``tpr`` of the positives.

    By default the share of ID samples that raise a false alarm when 95 % of the OOD ones are found, as in Hendrycks et
    al., "Deep anomaly detection with outlier exposure", ICLR 2019, https://arxiv.org/abs/1812.04606. Others call the ID
    samples positive (Liang et al., ODIN, ICLR 2018, https://arxiv.org/abs/1706.02690): the share of OOD samples that
    pass when 95 % of the ID ones do. The two differ; say which.

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        tpr: Share of the positives to be found, in (0, 1]. Default 0.95.
        positive: ``'ood'`` (default) or ``'id'``.

    Returns:
        The rate, in [0, 1]; 0 is perfect. Where all scores are equal it is 1.

    Raises:
        ValueError: As :func:`auroc`, or if an argument is out of its range.

    Example:
        >>> fpr_at_tpr([0.0, 1.0, 2.0, 3.0], [3.0, 4.0])
        0.25
    """
    from sklearn.metrics import roc_curve

    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], but got {tpr}")
    false, true, _ = roc_curve(*_labeled(id_scores, ood_scores, positive), drop_intermediate=False)
    return float(false[np.argmax(true >= tpr)])


def detection_measures(id_scores: Any, ood_scores: Any, *, trapezoid: bool = False) -> dict[str, float]:
    """Compute all measures of :data:`MEASURES`; ``fpr95`` is :func:`fpr_at_tpr` with its defaults.

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        trapezoid: See :func:`aupr`. Default False.

    Example:
        >>> detection_measures([0.0, 1.0], [2.0, 3.0])
        {'auroc': 1.0, 'aupr_out': 1.0, 'aupr_in': 1.0, 'fpr95': 0.0}
    """
    return dict(
        auroc=auroc(id_scores, ood_scores),
        aupr_out=aupr(id_scores, ood_scores, trapezoid=trapezoid),
        aupr_in=aupr(id_scores, ood_scores, positive="id", trapezoid=trapezoid),
        fpr95=fpr_at_tpr(id_scores, ood_scores),
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
        trapezoid: See :func:`aupr`. Default False.

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
    is_ood, scores = _labeled(id_scores, ood_scores)
    distinct, index = np.unique(scores, return_inverse=True)
    kinds = index[~is_ood], index[is_ood]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        # How often each distinct score occurs is all that a resample is, so nothing is sorted again.
        drawn = (kind[rng.integers(0, len(kind), len(kind))] for kind in kinds)
        id_counts, ood_counts = (np.bincount(each, minlength=len(distinct)) for each in drawn)
        values.append(_measures_of_counts(id_counts, ood_counts, trapezoid))
    ends = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(MEASURES, *ends, strict=True)}


def _labeled(id_scores: Any, ood_scores: Any, positive: str = "ood") -> tuple[np.ndarray, np.ndarray]:
    """Whether each sample is positive, and its score: the higher, the surer."""
    if positive not in ("ood", "id"):
        raise ValueError(f"positive must be 'ood' or 'id', but got {positive!r}")
    kinds = _checked(id_scores, "id_scores"), _checked(ood_scores, "ood_scores")
    is_ood, scores = np.repeat([False, True], [len(kind) for kind in kinds]), np.concatenate(kinds)
    return (is_ood, scores) if positive == "ood" else (~is_ood, -scores)


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
        _aupr_of_counts(id_counts[::-1], ood_counts[::-1], trapezoid),
        _aupr_of_counts(ood_counts, id_counts, trapezoid),
        alarms[first] / alarms[-1],
    ]


def _aupr_of_counts(negatives: np.ndarray, positives: np.ndarray, trapezoid: bool) -> float:
    found = positives.cumsum()
    seen = found + negatives.cumsum()
    precision = np.where(seen > 0, found / np.maximum(seen, 1), 1.0)  # 1 before the first score that was drawn
    if trapezoid:
        precision = (precision + np.concatenate([[1.0], precision[:-1]])) / 2
    return float((positives * precision).sum() / found[-1])
