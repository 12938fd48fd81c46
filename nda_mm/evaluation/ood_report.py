"""Reports of anomaly detection: a table, files and two plots for data sets, and a ranking of single images."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nda_mm.utils.image_grid import save_image_grid

from .detection import MEASURES, bootstrap_intervals, detection_measures

if TYPE_CHECKING:
    import pandas as pd

#: Bootstrap intervals are unreliable with fewer images than this.
_FEW = 100
#: Maximum number of sets in the plots.
_MAX_PLOTTED = 24


@dataclass(frozen=True)
class OODResult:
    """How well one OOD set is separated from the ID set.

    Args:
        name: Name of the set, such as ``'svhn'`` or ``'FAMILY/MEMBER'``.
        count: Number of images in the set.
        resizing: Description of how the images were resized.
        values: Values of the measures, by the names in :data:`~nda_mm.evaluation.detection.MEASURES`.
        intervals: Lower and upper ends of their intervals, by the same names; empty without a bootstrap.
    """

    name: str
    count: int
    resizing: str
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def means(results: Sequence[OODResult], apart: Collection[str] = ()) -> dict[str, dict[str, float]]:
    """Average the measures over each family, and over all sets; a family counts as one set.

    Args:
        results: Results of all sets.
        apart: Names of sets and families to leave out of the mean over all sets, unless there are no others. Defaults
            to none.

    Returns:
        Mean of each measure, by the name of the family, or ``'mean'`` for all sets.

    Example:
        >>> sets = [OODResult(name, 9, "", dict.fromkeys(MEASURES, value), {})
        ...         for name, value in (("a", 0.0), ("b/1", 0.5), ("b/2", 1.5))]
        >>> {name: each["auroc"] for name, each in means(sets).items()}
        {'b': 1.0, 'mean': 0.5}
    """

    def mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {measure: float(np.mean([each[measure] for each in values])) for measure in MEASURES}

    groups: dict[str, list[Mapping[str, float]]] = {}
    for result in results:
        groups.setdefault(result.name.split("/")[0], []).append(result.values)
    over_groups = {name: mean(values) for name, values in groups.items()}
    single = {result.name for result in results}
    families = {name: values for name, values in over_groups.items() if name not in single}
    counted = [values for name, values in over_groups.items() if name not in apart]
    return families | {"mean": mean(counted or list(over_groups.values()))}


def format_table(results: Sequence[OODResult], id_count: int, apart: Collection[str] = ()) -> str:
    """Format a table for the log: the count, measures and intervals of each set, followed by the :func:`means`."""

    def cell(result: OODResult, measure: str) -> str:
        interval = " [{:.3f}, {:.3f}]".format(*result.intervals[measure]) if measure in result.intervals else ""
        return f"{result.values[measure]:.3f}{interval}"

    rows: list[tuple[str, ...]] = [("OOD set", "n", *MEASURES)]
    rows += [(each.name, str(each.count), *(cell(each, measure) for measure in MEASURES)) for each in results]
    rows += [
        (_label(name), "", *(f"{value:.3f}" for value in each.values())) for name, each in means(results, apart).items()
    ]
    lines = [f"{name:<34}{count:>7}  " + "".join(f"{cell:<24}" for cell in cells) for name, count, *cells in rows]
    counts = {"ID set": id_count} | {result.name: result.count for result in results}
    few = [f"{name} ({count})" for name, count in counts.items() if count < _FEW]
    if few:
        lines.append(f"fewer than {_FEW} images, so the intervals are rough: {', '.join(few)}")
    return "\n".join(line.rstrip() for line in lines)


def write_results(
    folder: Path, results: Sequence[OODResult], protocol: Mapping[str, object], apart: Collection[str] = ()
) -> None:
    """Write ``results.json`` (everything) and ``results.csv`` (one line per set and measure).

    Args:
        folder: Output folder, created if missing; existing files with these names are replaced.
        results: Results of all sets.
        protocol: How they were measured; ``inside_count`` is the number of ID images.
        apart: See :func:`means`. Defaults to none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = dict(protocol=dict(protocol), sets=[asdict(result) for result in results], means=means(results, apart))
    (folder / "results.json").write_text(json.dumps(content, indent=2) + "\n")
    with (folder / "results.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["set", "n_inside", "n_outside", "measure", "value", "low", "high"])
        for result in results:
            for measure, value in result.values.items():
                ends = result.intervals.get(measure, ("", ""))
                writer.writerow([result.name, protocol["inside_count"], result.count, measure, value, *ends])
        for name, values in means(results, apart).items():
            writer.writerows([_label(name), protocol["inside_count"], "", *pair, "", ""] for pair in values.items())


def _label(name: str) -> str:
    return name if name == "mean" else f"{name} (mean)"


def plot_scores(folder: Path, id_scores: np.ndarray, ood_scores: Mapping[str, np.ndarray]) -> None:
    """Plot histograms of the scores, ``scores.png``, and ROC curves, ``roc.png``.

    Args:
        folder: Existing output folder; existing files with these names are replaced.
        id_scores: Scores of the ID set.
        ood_scores: Scores of each OOD set by name; at most the first 24 are plotted.
    """
    from matplotlib.figure import Figure  # imported late: both take seconds
    from sklearn.metrics import roc_curve

    plotted = dict(list(ood_scores.items())[:_MAX_PLOTTED])
    # Histograms. Outliers are clipped to the outer bins, or they would squeeze all other scores into one bin.
    low, high = np.quantile(np.concatenate([id_scores, *plotted.values()]), [0.002, 0.998])
    bins = np.linspace(low, max(high, low + 1e-6), 41)
    columns = min(3, len(plotted))
    rows = -(-len(plotted) // columns)
    figure = Figure(figsize=(4 * columns, 2.4 * rows), layout="constrained")
    for number, (name, scores) in enumerate(plotted.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        for values, label, color in ((id_scores, "ID", "0.6"), (scores, name, f"C{number % 10}")):
            axes.hist(
                np.clip(values, bins[0], bins[-1]),
                bins,
                weights=np.full(len(values), 1 / len(values)),
                histtype="stepfilled",
                alpha=0.6,
                color=color,
                label=f"{label} (n = {len(values)})",
            )
        axes.set(xlabel="score (higher: more anomalous)", ylabel="share")
        axes.legend(fontsize="small")
    figure.savefig(folder / "scores.png", dpi=120)
    # ROC curves.
    figure = Figure(figsize=(5.6, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.8", linestyle="--")
    for number, (name, scores) in enumerate(plotted.items()):
        is_ood = np.repeat([False, True], [len(id_scores), len(scores)])
        false, true, _ = roc_curve(is_ood, np.concatenate([id_scores, scores]))
        axes.plot(false, true, color=f"C{number % 10}", linestyle=("-", "--", ":")[number // 10], label=name)
    axes.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    axes.legend(fontsize="small")
    figure.savefig(folder / "roc.png", dpi=120)


def report_classes(folder: Path, scores: np.ndarray, classes: Sequence[str], normal_class: str) -> str:
    """Measure how well each class is separated from the normal one, and write the results and plots.

    Args:
        folder: Output folder for ``results.*``, ``scores.png`` and ``roc.png``.
        scores: Scores of all images. Shape: (N,).
        classes: Class of each image. Length N.
        normal_class: The class of normal images.

    Returns:
        The table of measures, with 95 % bootstrap intervals.
    """
    by_class = {name: scores[np.array(classes) == name] for name in sorted(set(classes))}
    normal = by_class.pop(normal_class)
    results = [
        OODResult(name, len(each), "", detection_measures(normal, each), bootstrap_intervals(normal, each))
        for name, each in by_class.items()
    ]
    write_results(folder, results, dict(inside=normal_class, inside_count=len(normal)))
    plot_scores(folder, normal, by_class)
    return format_table(results, len(normal))


def conformal_p_values(normal_scores: np.ndarray, scores: np.ndarray) -> np.ndarray:
    r"""Compute conformal p-values: how likely a normal image is to score at least as high as a given one.

    .. math:: p(s) = \frac{1 + \#\{i : s_i \ge s\}}{1 + n}

    over the n held-out normal images. If these were not trained on, :math:`P(p \le t) \le t` for a normal image,
    whatever the scores are. Of N normal images, at most N t are expected at or below t.

    Source: Bates et al., "Testing for outliers with conformal p-values", Annals of Statistics 51, 2023,
    https://arxiv.org/abs/2104.08279, eq. 1.

    Args:
        normal_scores: Scores of held-out normal images. Shape: (n,).
        scores: Scores of the images to test. Shape: (N,).

    Returns:
        p-values in [1 / (n + 1), 1]. Shape: (N,).

    Example:
        >>> conformal_p_values(np.array([0.0, 1.0, 2.0]), np.array([1.5, 9.0])).tolist()
        [0.5, 0.25]
    """
    below = np.searchsorted(np.sort(normal_scores), scores, side="left")
    return (1 + len(normal_scores) - below) / (1 + len(normal_scores))


def rank_images(files: Sequence[str], scores: np.ndarray, normal_scores: np.ndarray) -> pd.DataFrame:
    """Rank images by score, the most anomalous first.

    Args:
        files: File names of the images.
        scores: Scores of the images. Shape: (N,).
        normal_scores: Scores of held-out normal images. Shape: (n,).

    Returns:
        A table of ``file``, ``score``, ``rank`` (from 1) and ``p_value`` (see :func:`conformal_p_values`); its index
        is the position of the image in ``files``.

    Example:
        >>> rank_images(["a.png", "b.png"], np.array([0.5, 2.0]), np.array([0.0, 1.0]))
            file  score  rank   p_value
        1  b.png    2.0     1  0.333333
        0  a.png    0.5     2  0.666667
    """
    import pandas as pd

    table = pd.DataFrame({"file": list(files), "score": scores})
    table = table.sort_values("score", ascending=False, kind="stable")
    return table.assign(rank=range(1, len(table) + 1), p_value=conformal_p_values(normal_scores, table["score"]))


def draw_ranking(path: Path, images: np.ndarray, table: pd.DataFrame, count: int = 16) -> None:
    """Draw the first and the last images of a ranking, with their p-values.

    Args:
        path: The PNG file to write.
        images: uint8 RGB images, in the order of the ``files`` of :func:`rank_images`. Shape: (N, H, W, 3).
        table: Output of :func:`rank_images`.
        count: Number of images from each end, at most half of all. Defaults to 16.
    """
    count = min(count, max(1, len(table) // 2))
    columns = min(count, 8)
    pictures: list[np.ndarray] = []
    names: list[str] = []
    for title, part in (("most anomalous", table.head(count)), ("most ordinary", table.tail(count))):
        for start in range(0, count, columns):
            row = part[start : start + columns]
            names.append(f"{title}\np = {row['p_value'].min():.3f} to {row['p_value'].max():.3f}")
            blank = np.full((columns - len(row), *images.shape[1:]), 255, dtype=np.uint8)
            pictures += [images[row.index], blank]
    grid = np.concatenate(pictures).transpose(0, 3, 1, 2)
    save_image_grid(path, grid, columns, scale=max(1, 64 // images.shape[1]), row_labels=names)
