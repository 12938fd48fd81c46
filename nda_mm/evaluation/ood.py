"""How well scores tell outlying samples from those of the data: areas under curves, false alarms, intervals.

**A higher score means more outlying**, in every function here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["MEASURES", "aupr", "auroc", "bootstrap_intervals", "detection_measures", "fpr_at_tpr", "roc_points"]

#: What :func:`detection_measures` gives, in its order.
MEASURES = ("auroc", "aupr_out", "aupr_in", "fpr95")
POSITIVES = ("outside", "inside")


def auroc(inside: Any, outside: Any) -> float:
    r"""Area under the ROC curve: the chance that an outlying sample scores above one of the data, ties counting half.

    .. math:: P(s_{out} > s_{in}) + \tfrac{1}{2} P(s_{out} = s_{in})

    Chance is 0.5, perfect is 1; below 0.5 the scores point the wrong way. The shares of the two kinds play no part.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.

    Args:
        inside: Scores of samples of the data, finite. A tensor, an array or a list.
        outside: Scores of outlying samples, likewise.

    Shape:
        ``(N,)`` and ``(M,)``, each at least 1.

    Returns:
        The area, in [0, 1].

    Raises:
        ValueError: if scores are empty, no vector, or not finite.

    Example:
        >>> auroc([0.0, 1.0], [1.0, 2.0])
        0.875
    """
    return _auroc(*_counts(inside, outside)[:2])


def aupr(inside: Any, outside: Any, *, positive: str = "outside") -> float:
    """Area under the precision-recall curve as average precision: a step for each distinct score, no interpolation.

    Chance is the share of the positive kind, so values compare only at equal counts. The trapezoidal area of
    pytorch-ood and of ``sklearn.metrics.auc`` is about the same without ties, and larger with many: 0.76 instead of
    0.70 for 20,000 scores rounded to whole numbers.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why a straight
    line between points is too optimistic).

    Args:
        inside, outside: See :func:`auroc`.
        positive: What is to be found: ``'outside'`` (default), from the highest score downwards, or ``'inside'``, from
            the lowest upwards.

    Returns:
        The area, in (0, 1].

    Raises:
        ValueError: as :func:`auroc`, or if ``positive`` is unknown.

    Example:
        >>> aupr([0.0, 1.0], [2.0]), aupr([0.0, 1.0], [2.0], positive="inside")
        (1.0, 1.0)
    """
    return _aupr(*_as_positive(*_counts(inside, outside)[:2], positive))


def fpr_at_tpr(inside: Any, outside: Any, *, tpr: float = 0.95, positive: str = "outside") -> float:
    """Rate of false positives at the strictest threshold that finds at least ``tpr`` of the positives.

    By default the share of the data's own samples that raise a false alarm when 95 % of the outlying ones are found, as
    in Hendrycks et al., "Deep anomaly detection with outlier exposure", ICLR 2019, https://arxiv.org/abs/1812.04606.
    Others call the data positive (Liang et al., ODIN, ICLR 2018, https://arxiv.org/abs/1706.02690): the share of
    outlying samples that pass when 95 % of the data do. The two differ; say which.

    Args:
        inside, outside: See :func:`auroc`.
        tpr: Share of the positives to be found, in (0, 1]. Default 0.95.
        positive: ``'outside'`` (default) or ``'inside'``.

    Returns:
        The rate, in [0, 1]; 0 is perfect. Where all scores are equal it is 1.

    Raises:
        ValueError: as :func:`auroc`, or if an argument is out of its range.

    Example:
        >>> fpr_at_tpr([0.0, 1.0, 2.0, 3.0], [3.0, 4.0])
        0.25
    """
    if not 0 < tpr <= 1:
        raise ValueError(f"tpr must be in (0, 1], but got {tpr}")
    return _fpr(*_as_positive(*_counts(inside, outside)[:2], positive), tpr)


def detection_measures(inside: Any, outside: Any) -> dict[str, float]:
    """All measures of :data:`MEASURES` at once; ``fpr95`` is :func:`fpr_at_tpr` with its defaults.

    Example:
        >>> detection_measures([0.0, 1.0], [2.0, 3.0])
        {'auroc': 1.0, 'aupr_out': 1.0, 'aupr_in': 1.0, 'fpr95': 0.0}
    """
    return _measures(*_counts(inside, outside)[:2])


def roc_points(inside: Any, outside: Any) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve's corners, from (0, 0) to (1, 1), one for each distinct score, with outlying samples as positives.

    Args:
        inside, outside: See :func:`auroc`.

    Returns:
        Rates of false and of true positives, both rising. Shape: (K + 1,) each, K the number of distinct scores.

    Example:
        >>> [rates.tolist() for rates in roc_points([0.0, 1.0], [1.0])]
        [[0.0, 0.5, 1.0], [0.0, 1.0, 1.0]]
    """
    negatives, positives = (each[::-1].cumsum() / each.sum() for each in _counts(inside, outside)[:2])
    return np.concatenate([[0.0], negatives]), np.concatenate([[0.0], positives])


def bootstrap_intervals(
    inside: Any, outside: Any, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of :func:`detection_measures` over samples drawn with replacement.

    The two kinds are drawn apart, each at its own count (stratified), as the shares of the kinds are the experiment's
    choice. The intervals speak of which images were drawn, not of which network was trained: for that, train over
    seeds. Of few samples they are too narrow, and where the kinds don't overlap at all they have no width.

    Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, chapter 13.

    Args:
        inside, outside: See :func:`auroc`.
        resamples: Number of draws, at least 1. Default 1000.
        confidence: In (0, 1). Default 0.95.
        seed: Of the draws. Default 0.

    Returns:
        Lower and upper end by the name of the measure.

    Raises:
        ValueError: as :func:`auroc`, or if an argument is out of its range.

    Example:
        >>> bootstrap_intervals([0.0, 1.0], [2.0, 3.0], resamples=10)["auroc"]
        (1.0, 1.0)
    """
    if resamples < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"resamples must be at least 1 and confidence in (0, 1), but got resamples={resamples}, "
            f"confidence={confidence}"
        )
    places = _counts(inside, outside)[2:]
    distinct = int(max(each.max() for each in places)) + 1
    draw = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        # A resample is fully told by how often each distinct score occurs, so that nothing is sorted again.
        drawn = (each[draw.integers(0, len(each), len(each))] for each in places)
        values.append(list(_measures(*(np.bincount(each, minlength=distinct) for each in drawn)).values()))
    ends = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(MEASURES, *ends, strict=True)}


def _counts(inside: Any, outside: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How often each distinct score, ascending, occurs inside and outside; and which of them each sample has."""
    first, second = _scores(inside, "inside"), _scores(outside, "outside")
    distinct, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    places = places.reshape(-1)
    parts = places[: len(first)], places[len(first) :]
    return (*(np.bincount(part, minlength=len(distinct)) for part in parts), *parts)  # type: ignore[return-value]


def _scores(values: Any, name: str) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().double()
    scores = np.asarray(values)
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"{name} scores must be real numbers, but are of type {scores.dtype}")
    if scores.ndim != 1:
        raise ValueError(f"{name} scores must have the shape (N,), one number a sample, but got {scores.shape}")
    if not len(scores):
        raise ValueError(f"there are no {name} scores; at least one sample of each kind is needed")
    scores = scores.astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(scores)} {name} scores are not finite (the first is number {wrong[0]}, "
            f"{scores[wrong[0]]}); look for a diverged network or broken images"
        )
    return scores


def _as_positive(inside: np.ndarray, outside: np.ndarray, positive: str) -> tuple[np.ndarray, np.ndarray]:
    """Counts of negatives and positives, the surest positive first."""
    if positive not in POSITIVES:
        raise ValueError(f"positive must be one of {POSITIVES}, but got {positive!r}")
    return (inside[::-1], outside[::-1]) if positive == "outside" else (outside, inside)


def _measures(inside: np.ndarray, outside: np.ndarray) -> dict[str, float]:
    found = _as_positive(inside, outside, "outside")
    values = (_auroc(inside, outside), _aupr(*found), _aupr(outside, inside), _fpr(*found, 0.95))
    return dict(zip(MEASURES, values, strict=True))


def _auroc(inside: np.ndarray, outside: np.ndarray) -> float:
    # Twice the number of pairs in the right order: whole numbers, so exact.
    twice = int((outside * (2 * inside.cumsum() - inside)).sum())
    return twice / (2 * int(inside.sum()) * int(outside.sum()))


def _aupr(negatives: np.ndarray, positives: np.ndarray) -> float:
    found, alarms = positives.cumsum(), negatives.cumsum()
    seen = np.maximum(found + alarms, 1)  # 0 only before the first score that a resample has drawn
    return float((positives * found / seen).sum() / found[-1])


def _fpr(negatives: np.ndarray, positives: np.ndarray, tpr: float) -> float:
    found, alarms = positives.cumsum(), negatives.cumsum()
    # Shares as quotients, as they are defined: 0.95 * 20 is above 19 in floating point, 19 / 20 is 0.95.
    first = int(np.argmax(found / found[-1] >= tpr))
    return float(alarms[first] / alarms[-1])
