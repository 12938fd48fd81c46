"""Measures of how well anomaly scores separate OOD samples from ID samples.

**A higher score means more anomalous** in all functions of this module.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Names of the measures of :func:`detection_measures`, in order.
MEASURES = ("auroc", "aupr_out", "aupr_in", "fpr95")


def auroc(id_scores: Any, ood_scores: Any) -> float:
    r"""Compute the AUROC: the probability that an OOD sample scores above an ID sample; ties count half.

    .. math:: P(s_{out} > s_{in}) + \tfrac{1}{2} P(s_{out} = s_{in})

    Chance is 0.5 and perfect is 1; below 0.5 the scores point the wrong way. The proportions of ID and OOD samples have
    no influence.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.

    Args:
        id_scores: Scores of ID samples, finite: a tensor, an array or a list. Shape: (N,), N at least 1.
        ood_scores: Scores of OOD samples, in the same form. Shape: (M,), M at least 1.

    Returns:
        The AUROC, in [0, 1].

    Raises:
        ValueError: If scores are empty, not a vector, or not finite.

    Example:
        >>> auroc([0.0, 1.0], [1.0, 2.0])
        0.875
    """
    return detection_measures(id_scores, ood_scores)["auroc"]


def detection_measures(id_scores: Any, ood_scores: Any, *, trapezoid: bool = False) -> dict[str, float]:
    """Compute all measures in :data:`MEASURES` with scikit-learn.

    * ``auroc``: see :func:`auroc`.
    * ``aupr_out`` and ``aupr_in``: the area under the precision-recall curve as average precision, with one step for
      each distinct score. The positives are the OOD samples, from the highest score downwards, or the ID samples, from
      the lowest upwards. Chance is the share of the positives, so values are only comparable at equal counts.
    * ``fpr95``: the share of ID samples that raise a false alarm at the strictest threshold that detects at least 95 %
      of the OOD samples. 0 is perfect; if all scores are equal, it is 1. Some authors call the ID samples positive
      (Liang et al., ODIN, ICLR 2018, https://arxiv.org/abs/1706.02690), which gives other values.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why a straight
    line between points is too optimistic); Hendrycks et al., "Deep anomaly detection with outlier exposure", ICLR 2019,
    https://arxiv.org/abs/1812.04606 (``fpr95``).

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        trapezoid: Whether to join the points of the precision-recall curve by straight lines, from precision 1 at
            recall 0, as OpenOOD and pytorch-ood do. The area is about the same without ties, and larger with many: 0.76
            instead of 0.70 for 20,000 scores rounded to whole numbers. Defaults to False.

    Returns:
        The measures by name.

    Raises:
        ValueError: See :func:`auroc`.

    Example:
        >>> detection_measures([0.0, 1.0], [2.0, 3.0])
        {'auroc': 1.0, 'aupr_out': 1.0, 'aupr_in': 1.0, 'fpr95': 0.0}
    """
    # Imported late: it takes a second.
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
    """Compute bootstrap percentile intervals of :func:`detection_measures`.

    ID and OOD samples are drawn separately, each at its own count (stratified), because their proportions are chosen by
    the experiment. The intervals show how much the values depend on which images were drawn, not on which network was
    trained; for that, train with several seeds. They are too narrow for few samples, and have zero width if the ID and
    OOD scores do not overlap at all.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        resamples: Number of bootstrap resamples, at least 1. Defaults to 1000.
        confidence: Confidence level, in (0, 1). Defaults to 0.95.
        seed: Seed for the random draws. Defaults to 0.
        trapezoid: See :func:`detection_measures`. Defaults to False.

    Returns:
        Lower and upper end of the interval of each measure, by name.

    Raises:
        ValueError: See :func:`auroc`; also if an argument is out of range.

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
    # All measures depend only on the ranks among the distinct scores, so the scores are sorted only once.
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
            f"{wrong} of {len(scores)} {name} are not finite; the network may have diverged, or an image is broken"
        )
    return scores


def _measures_of_counts(id_counts: np.ndarray, ood_counts: np.ndarray, trapezoid: bool) -> list[float]:
    """Compute :func:`detection_measures` from the counts of each distinct score, in ascending order."""
    # Correctly ordered pairs, ties counting half; summed as twice their number, in exact integers.
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
    """Compute the area under the precision-recall curve from counts per distinct score, most confident first."""
    found = positives.cumsum()
    seen = found + negatives.cumsum()
    precision = np.where(seen > 0, found / np.maximum(seen, 1), 1.0)  # 1 before the first sample drawn
    if trapezoid:
        precision = (precision + np.concatenate([[1.0], precision[:-1]])) / 2
    return float((positives * precision).sum() / found[-1])
