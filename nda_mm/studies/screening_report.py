"""What a screening of transforms came to, as a table, as a file of values and as a plot."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nda_mm.studies.run_results import PairedDifference, Summary, paired_differences, summarise

__all__ = ["Audited", "Trained", "markdown", "plot", "rank_correlation", "write_csv"]


@dataclass(frozen=True)
class Audited:
    """What the audit says of a transform: its verdict, and how surely its negatives are told from real images (AUROC).

    See :mod:`nda_mm.evaluation.audit_report`.
    """

    verdict: str
    separability: float

    def __str__(self) -> str:
        return self.verdict if math.isnan(self.separability) else f"{self.verdict}, {self.separability:.3f}"


@dataclass(frozen=True)
class Trained:
    """Final values of one metric of one arm, seed by seed, beside those of the plain arm.

    Args:
        transform: Label of the transform; empty for the plain arm.
        side: 'negative' or 'positive'; empty for the plain arm.
        fake_weight: Weight of the generated images, where it was set for the arm.
        metric: Name of the metric.
        values: One a seed.
        plain: Those of the plain arm.
    """

    transform: str
    side: str
    fake_weight: float | None
    metric: str
    values: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def summary(self) -> Summary:
        """Mean and spread over the seeds."""
        return summarise(self.transform or "plain", self.metric, self.values)

    @property
    def difference(self) -> PairedDifference:
        """From the plain arm, seed by seed."""
        return paired_differences(self.summary, summarise("plain", self.metric, self.plain))

    @property
    def label(self) -> str:
        """The transform, with its weight where that was set."""
        return self.transform + ("" if self.fake_weight is None else f", fake_weight {self.fake_weight:g}")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Spearman's rank correlation, ties at their mean rank; nan where it is not defined, and below three pairs.

    Example:
        >>> round(rank_correlation([1, 2, 3, 4], [1, 10, 5, 20]), 6)
        0.8
    """
    from scipy.stats import spearmanr

    known = all(math.isfinite(value) for value in (*first, *second))
    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1 or not known:
        return math.nan
    return float(spearmanr(first, second).statistic)


def markdown(rows: Sequence[Trained], audited: Mapping[str, Audited], seeds: Sequence[int], recipe: str) -> str:
    """The report: for every metric a row for each transform, the audit's verdict first.

    Args:
        rows: Of all arms and metrics, the plain arm's among them.
        audited: What the audit says of every transform.
        seeds: Of the values.
        recipe: Name of the recipe.
    """
    lines = [
        f"# Transforms on {recipe}",
        "",
        f"Final values over seeds {', '.join(map(str, seeds))} (n = {len(seeds)}), and in brackets what they differ by "
        "from the plain arm, seed by seed, with the 95 % t interval of the mean where there are several seeds. As "
        "negative: the transformed images are shown as fake. As positive: all real images are shown transformed, as "
        "real. Audit: the verdict of tools/audit_negatives.py on the training images, and the AUROC at which negatives "
        "are told from real ones.",
    ]
    for metric in dict.fromkeys(row.metric for row in rows):
        of_metric = [row for row in rows if row.metric == metric]
        plain = next(row for row in of_metric if not row.side)
        lines += ["", f"## {metric}", "", f"Plain: {_value(plain)}.", ""]
        lines += ["| transform | audit | as negative | as positive |", "|---|---|---|---|"]
        for label, transform in dict.fromkeys((row.label, row.transform) for row in of_metric if row.side):
            verdict = audited[transform]
            cells = [_cell(of_metric, label, side) for side in ("negative", "positive")]
            lines.append(f"| {label} | {verdict} | {cells[0]} | {cells[1]} |")
        negatives = [row for row in of_metric if row.side == "negative"]
        correlation = rank_correlation(
            [audited[row.transform].separability for row in negatives], [row.difference.mean for row in negatives]
        )
        if not math.isnan(correlation):
            lines += [
                "",
                f"Rank correlation (Spearman) of the audit's AUROC with the mean difference as negative: "
                f"{correlation:+.2f} over {len(negatives)} arms; where lower values are better, an audit that predicts "
                "gives -1.",
            ]
    return "\n".join(lines) + "\n"


def _value(row: Trained) -> str:
    spread = "" if math.isnan(row.summary.deviation) else f" (sd {row.summary.deviation:.2g})"
    return f"{row.summary.mean:.4g}{spread}"


def _cell(rows: Sequence[Trained], label: str, side: str) -> str:
    found = [row for row in rows if row.label == label and row.side == side]
    if not found:
        return "not run"
    pair = found[0].difference
    interval = "" if math.isnan(pair.low) else f", {pair.low:+.3g} to {pair.high:+.3g}"
    return f"{_value(found[0])} [{pair.mean:+.3g}{interval}]"


def write_csv(path: Path, rows: Sequence[Trained], audited: Mapping[str, Audited], seeds: Sequence[int]) -> None:
    """Every value of every arm, one to a line, with the verdict beside it."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["transform", "side", "fake_weight", "metric", "seed", "value", "plain", "verdict", "auroc"])
        for row in rows:
            verdict = audited.get(row.transform)
            said = ("", "") if verdict is None else (verdict.verdict, verdict.separability)
            weight = "" if row.fake_weight is None else row.fake_weight
            for seed, value, plain in zip(seeds, row.values, row.plain):
                writer.writerow([row.transform, row.side, weight, row.metric, seed, value, plain, *said])


def plot(path: Path, rows: Sequence[Trained], audited: Mapping[str, Audited]) -> None:
    """Each metric of each arm: a small dot for each seed, a large one for their mean, a line where the plain arm is."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModuleNotFoundError(f"the plot needs matplotlib ({error}): pip install 'nda_mm[gan]'") from error

    metrics = list(dict.fromkeys(row.metric for row in rows))
    names = dict.fromkeys((row.label, row.transform) for row in rows if row.side)
    places = {label: -number for number, (label, _) in enumerate(names)}
    figure = Figure(figsize=(7.0, len(metrics) * (1.2 + 0.45 * len(places))), layout="constrained")
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(len(metrics), 1, index + 1)
        plain = next(row for row in rows if row.metric == metric and not row.side)
        axes.axvline(plain.summary.mean, color="0.6", label="plain")
        for side, colour, shift in (("negative", "C0", 0.12), ("positive", "C3", -0.12)):
            chosen = [row for row in rows if row.metric == metric and row.side == side]
            for row in chosen:
                height = places[row.label] + shift
                axes.plot(row.values, [height] * len(row.values), ".", color=colour, markersize=4, alpha=0.5)
            if chosen:
                heights = [places[row.label] + shift for row in chosen]
                means = [row.summary.mean for row in chosen]
                axes.plot(means, heights, "o", color=colour, markersize=6, label=f"as {side}")
        labels = [f"{label}\n{audited[transform].verdict}" for label, transform in names]
        axes.set_yticks(list(places.values()), labels, fontsize=8)
        axes.set(xlabel=metric, ylim=(min(places.values()) - 0.5, 0.5))
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)
