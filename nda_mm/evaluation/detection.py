"""How well scores tell OOD samples from those of the data (ID): measures, bootstrap intervals, and the report of them.

**A higher score means more outlying**, in every function here.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

__all__ = [
    "MEASURES",
    "OODResult",
    "aupr",
    "auroc",
    "bootstrap_intervals",
    "detection_measures",
    "format_table",
    "fpr_at_tpr",
    "means",
    "plot_scores",
    "roc_points",
    "write_results",
]

#: What :func:`detection_measures` gives, in its order.
MEASURES = ("auroc", "aupr_out", "aupr_in", "fpr95")
#: Below this many images an interval from resampling is itself uncertain.
FEW = 100


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
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(*_labelled(id_scores, ood_scores)))


def aupr(id_scores: Any, ood_scores: Any, *, positive: str = "ood") -> float:
    """Compute the area under the precision-recall curve as average precision: a step for each distinct score.

    Chance is the share of the positive kind, so values compare only at equal counts. The trapezoidal area of
    pytorch-ood and of ``sklearn.metrics.auc`` is about the same without ties, and larger with many: 0.76 instead of
    0.70 for 20,000 scores rounded to whole numbers.

    Source: Davis and Goadrich, "The relationship between precision-recall and ROC curves", ICML 2006 (why a straight
    line between points is too optimistic).

    Args:
        id_scores, ood_scores: See :func:`auroc`.
        positive: What is to be found: ``'ood'`` (default), from the highest score downwards, or ``'id'``, from the
            lowest upwards.

    Returns:
        The area, in (0, 1].

    Raises:
        ValueError: As :func:`auroc`, or if ``positive`` is unknown.

    Example:
        >>> aupr([0.0, 1.0], [2.0]), aupr([0.0, 1.0], [2.0], positive="id")
        (1.0, 1.0)
    """
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(*_labelled(id_scores, ood_scores, positive)))


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
    false, true, _ = roc_curve(*_labelled(id_scores, ood_scores, positive), drop_intermediate=False)
    return float(false[np.argmax(true >= tpr)])


def detection_measures(id_scores: Any, ood_scores: Any) -> dict[str, float]:
    """Compute all measures of :data:`MEASURES`; ``fpr95`` is :func:`fpr_at_tpr` with its defaults.

    Example:
        >>> detection_measures([0.0, 1.0], [2.0, 3.0])
        {'auroc': 1.0, 'aupr_out': 1.0, 'aupr_in': 1.0, 'fpr95': 0.0}
    """
    return dict(
        auroc=auroc(id_scores, ood_scores),
        aupr_out=aupr(id_scores, ood_scores),
        aupr_in=aupr(id_scores, ood_scores, positive="id"),
        fpr95=fpr_at_tpr(id_scores, ood_scores),
    )


def roc_points(id_scores: Any, ood_scores: Any) -> tuple[np.ndarray, np.ndarray]:
    """Compute the corners of the ROC curve, from (0, 0) to (1, 1), one for each distinct score, OOD being positive.

    Args:
        id_scores, ood_scores: See :func:`auroc`.

    Returns:
        Rates of false and of true positives, both rising. Shape: (K + 1,) each, K the number of distinct scores.

    Example:
        >>> [rates.tolist() for rates in roc_points([0.0, 1.0], [1.0])]
        [[0.0, 0.5, 1.0], [0.0, 1.0, 1.0]]
    """
    from sklearn.metrics import roc_curve

    return roc_curve(*_labelled(id_scores, ood_scores), drop_intermediate=False)[:2]


def bootstrap_intervals(
    id_scores: Any, ood_scores: Any, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
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
    is_ood, scores = _labelled(id_scores, ood_scores)
    distinct, index = np.unique(scores, return_inverse=True)
    kinds = index[~is_ood], index[is_ood]
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(resamples):
        # How often each distinct score occurs is all that a resample is, so nothing is sorted again.
        drawn = (kind[rng.integers(0, len(kind), len(kind))] for kind in kinds)
        values.append(_measures_of_counts(*(np.bincount(each, minlength=len(distinct)) for each in drawn)))
    ends = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    return {name: (float(low), float(high)) for name, low, high in zip(MEASURES, *ends, strict=True)}


def _labelled(id_scores: Any, ood_scores: Any, positive: str = "ood") -> tuple[np.ndarray, np.ndarray]:
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


def _measures_of_counts(id_counts: np.ndarray, ood_counts: np.ndarray) -> list[float]:
    """:func:`detection_measures` from how often each distinct score, ascending, occurs."""
    # Twice the number of pairs in the right order: whole numbers, so exact.
    pairs = int((ood_counts * (2 * id_counts.cumsum() - id_counts)).sum()) / 2
    found, alarms = ood_counts[::-1].cumsum(), id_counts[::-1].cumsum()
    first = int(np.argmax(found / found[-1] >= 0.95))
    return [
        pairs / (int(id_counts.sum()) * int(ood_counts.sum())),
        _average_precision(id_counts[::-1], ood_counts[::-1]),
        _average_precision(ood_counts, id_counts),
        alarms[first] / alarms[-1],
    ]


def _average_precision(negatives: np.ndarray, positives: np.ndarray) -> float:
    found = positives.cumsum()
    seen = np.maximum(found + negatives.cumsum(), 1)  # 0 only before the first score that was drawn
    return float((positives * found / seen).sum() / found[-1])


@dataclass(frozen=True)
class OODResult:
    """How well one OOD set was distinguished from the data.

    Args:
        name: ``'svhn'``, or ``'FAMILY/MEMBER'``.
        count: Number of its images.
        resizing: What was done to them, in words.
        values: By the names of :data:`MEASURES`.
        intervals: Lower and upper end by the same names; empty if none were asked for.
    """

    name: str
    count: int
    resizing: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def means(results: Sequence[OODResult]) -> dict[str, dict[str, float]]:
    """Average over the members of each family, and over all sets, a family counting as one: the entry ``'mean'``.

    Example:
        >>> sets = [OODResult(name, 9, "", dict.fromkeys(MEASURES, value), {})
        ...         for name, value in (("a", 0.0), ("b/1", 0.5), ("b/2", 1.5))]
        >>> {name: each["auroc"] for name, each in means(sets).items()}
        {'b': 1.0, 'mean': 0.5}
    """
    families: dict[str, list[dict[str, float]]] = {}
    for result in results:
        families.setdefault(result.name.split("/")[0], []).append(result.values)
    over = {name: _mean(members) for name, members in families.items()}
    with_members = {result.name.split("/")[0] for result in results if "/" in result.name}
    return {name: over[name] for name in over if name in with_members} | {"mean": _mean(list(over.values()))}


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {measure: float(np.mean([each[measure] for each in values])) for measure in MEASURES}


def format_table(results: Sequence[OODResult], id_count: int) -> str:
    """Format lines for the log: each set with its count, its measures and their intervals; then the means."""

    def cell(result: OODResult, measure: str) -> str:
        interval = " [{:.3f}, {:.3f}]".format(*result.intervals[measure]) if result.intervals.get(measure) else ""
        return f"{result.values[measure]:.3f}{interval}"

    rows: list[tuple[str, ...]] = [("OOD set", "n", *MEASURES)]
    rows += [(each.name, str(each.count), *(cell(each, measure) for measure in MEASURES)) for each in results]
    rows += [(_label(name), "", *(f"{value:.3f}" for value in over.values())) for name, over in means(results).items()]
    lines = [f"{name:<34}{count:>7}  " + "".join(f"{cell:<24}" for cell in cells) for name, count, *cells in rows]
    few = [f"{result.name} ({result.count})" for result in results if result.count < FEW]
    few = [f"the data ({id_count})", *few] if id_count < FEW else few
    if few:
        lines.append(f"fewer than {FEW} images, so read the intervals with care: {', '.join(few)}")
    return "\n".join(line.rstrip() for line in lines)


def _label(name: str) -> str:
    return name if name == "mean" else f"{name} (mean)"


def write_results(folder: Path, results: Sequence[OODResult], protocol: Mapping[str, object]) -> None:
    """Write ``results.json`` (everything) and ``results.csv`` (one line a set and measure).

    Args:
        folder: Made if absent; files of these names are replaced.
        results: All sets.
        protocol: How they were measured; ``inside_count`` is the number of ID images.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = dict(protocol=dict(protocol), sets=[asdict(result) for result in results], means=means(results))
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["set", "n_inside", "n_outside", "measure", "value", "low", "high"])
        for result in results:
            for measure, value in result.values.items():
                ends = result.intervals.get(measure, ("", ""))
                writer.writerow([result.name, protocol["inside_count"], result.count, measure, value, *ends])
        for name, values in means(results).items():
            writer.writerows([_label(name), protocol["inside_count"], "", *pair, "", ""] for pair in values.items())


def plot_scores(folder: Path, id_scores: np.ndarray, ood_scores: Mapping[str, np.ndarray]) -> bool:
    """Draw ``scores.png``, the histogram of each set over that of the data, and ``roc.png``, all curves.

    Args:
        folder: Made if absent; files of these names are replaced.
        id_scores: Scores of the data.
        ood_scores: Scores of each set by its name; at most the first 24 are drawn.

    Returns:
        Whether it could be drawn: without matplotlib there are no plots, and a warning is logged.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        print_log(
            f"No plots of the scores: matplotlib cannot be imported ({error}); install it, or set plots=False.",
            "current",
            logging.WARNING,
        )
        return False

    folder.mkdir(parents=True, exist_ok=True)
    drawn = dict(list(ood_scores.items())[:24])
    # A few far scores must not squeeze all others into one bin.
    ends = np.quantile(np.concatenate([id_scores, *drawn.values()]), [0.002, 0.998])
    bins = np.linspace(ends[0], max(ends[1], ends[0] + 1e-6), 41)
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for number, (name, scores) in enumerate(drawn.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for values, label, color in ((id_scores, "data", "0.6"), (scores, name, f"C{number % 10}")):
            shown = np.clip(values, bins[0], bins[-1])
            weights = np.full(len(shown), 1 / len(shown))
            text = f"{label} (n = {len(shown)})"
            axes.hist(shown, bins, weights=weights, histtype="stepfilled", alpha=0.6, color=color, label=text)
        axes.set(xlabel="score (higher: more outlying)", ylabel="share")
        axes.legend(fontsize="small")
    figure.savefig(folder / "scores.png", dpi=120)

    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.8", linestyle="--")
    for number, (name, scores) in enumerate(drawn.items()):
        style = ("-", "--", ":")[number // 10]
        axes.plot(*roc_points(id_scores, scores), color=f"C{number % 10}", linestyle=style, label=name)
    axes.set(xlabel="share of the data taken for OOD", ylabel="share of the OOD set found", aspect="equal")
    axes.legend(fontsize="small")
    figure.savefig(folder / "roc.png", dpi=120)
    return True
