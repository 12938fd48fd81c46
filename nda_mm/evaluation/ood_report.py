"""What an evaluation of outlying sets leaves behind: tables for people and programs, histograms and ROC curves."""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from mmengine.logging import print_log

from nda_mm.evaluation.ood import MEASURES, roc_points

#: Below this many images an interval from resampling is itself uncertain.
FEW = 100


@dataclass(frozen=True)
class SetResult:
    """How well one outside set was told from the data.

    Args:
        name: ``'svhn'``, or ``'FAMILY/MEMBER'``.
        count: Number of its images.
        resizing: What was done to them, in words.
        values: By the names of :data:`~nda_mm.evaluation.ood.MEASURES`.
        intervals: Lower and upper end by the same names; empty if none were asked for.
    """

    name: str
    count: int
    resizing: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def means(results: Sequence[SetResult]) -> dict[str, dict[str, float]]:
    """Means over the members of each family, and over all sets, a family counting as one: the entry ``'mean'``.

    Example:
        >>> sets = [SetResult(name, 9, "", dict.fromkeys(MEASURES, value), {})
        ...         for name, value in (("a", 0.0), ("b/1", 0.5), ("b/2", 1.5))]
        >>> {name: each["auroc"] for name, each in means(sets).items()}
        {'b': 1.0, 'mean': 0.5}
    """
    groups: dict[str, list[SetResult]] = {}
    for result in results:
        groups.setdefault(result.name.split("/")[0], []).append(result)
    over = {
        name: {measure: float(np.mean([each.values[measure] for each in group])) for measure in MEASURES}
        for name, group in groups.items()
    }
    families = {name: values for name, values in over.items() if "/" in groups[name][0].name}
    return families | {
        "mean": {measure: float(np.mean([values[measure] for values in over.values()])) for measure in MEASURES}
    }


def table(results: Sequence[SetResult], inside_count: int) -> str:
    """Lines for the log: each set with its count, its measures and their intervals; then the means."""
    lines = [f"{'outside set':<34}{'n':>7}  " + "".join(f"{measure:<24}" for measure in MEASURES).rstrip()]
    for result in results:
        cells = []
        for measure in MEASURES:
            low_high = result.intervals.get(measure)
            interval = f" [{low_high[0]:.3f}, {low_high[1]:.3f}]" if low_high else ""
            cells.append(f"{result.values[measure]:.3f}{interval}".ljust(24))
        lines.append(f"{result.name:<34}{result.count:>7}  " + "".join(cells).rstrip())
    for name, values in means(results).items():
        label = name if name == "mean" else f"{name} (mean)"
        lines.append(f"{label:<41}  " + "".join(f"{value:.3f}".ljust(24) for value in values.values()).rstrip())
    few = [f"{result.name} ({result.count})" for result in results if result.count < FEW]
    if inside_count < FEW:
        few.insert(0, f"the data ({inside_count})")
    if few:
        lines.append(f"fewer than {FEW} images, so read the intervals with care: {', '.join(few)}")
    return "\n".join(lines)


def write_results(folder: Path, results: Sequence[SetResult], protocol: Mapping[str, object]) -> None:
    """Write ``results.json`` (everything) and ``results.csv`` (one line a set and measure).

    Args:
        folder: Made if absent; files of these names are replaced.
        results: All sets.
        protocol: How they came about.
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
            label = name if name == "mean" else f"{name} (mean)"
            writer.writerows([label, protocol["inside_count"], "", *pair, "", ""] for pair in values.items())


def plot(folder: Path, inside: np.ndarray, outside: Mapping[str, np.ndarray]) -> bool:
    """Draw ``scores.png``, the histogram of each set over that of the data, and ``roc.png``, all curves.

    Args:
        folder: Made if absent; files of these names are replaced.
        inside: Scores of the data.
        outside: Scores of each set by its name; at most the first 24 are drawn.

    Returns:
        Whether it could be drawn: without matplotlib there are no plots, and a warning says so.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        print_log(
            f"No plots of the scores: matplotlib cannot be imported ({error}); pip install matplotlib, or set "
            "plots=False.",
            "current",
            logging.WARNING,
        )
        return False

    folder.mkdir(parents=True, exist_ok=True)
    drawn = dict(list(outside.items())[:24])
    # A few far scores must not squeeze all others into one bin.
    ends = np.quantile(np.concatenate([inside, *drawn.values()]), [0.002, 0.998])
    bins = np.linspace(ends[0], max(ends[1], ends[0] + 1e-6), 41)
    columns = min(3, len(drawn))
    rows = -(-len(drawn) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for number, (name, scores) in enumerate(drawn.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for values, label, color in ((inside, "data", "0.6"), (scores, name, f"C{number % 10}")):
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
        axes.plot(*roc_points(inside, scores), color=f"C{number % 10}", linestyle=style, label=name)
    axes.set(xlabel="share of the data taken for outlying", ylabel="share of the outside set found", aspect="equal")
    axes.legend(fontsize="small")
    figure.savefig(folder / "roc.png", dpi=120)
    return True
