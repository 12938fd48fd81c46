"""What finished runs have logged, as curves, statistics, tables and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

__all__ = [
    "Curves",
    "PairedDifference",
    "Summary",
    "markdown",
    "paired_differences",
    "plot",
    "read_curves",
    "summarise",
]

#: Of a value over the iterations: metric -> [(iteration, value)].
Curves = dict[str, list[tuple[int, float]]]
_NOT_METRICS = {"step", "epoch", "iter", "time", "data_time", "memory"}


class NamedRun(Protocol):
    """What tables and plots need to know of a run."""

    @property
    def name(self) -> str:
        """Name of its recipe."""

    @property
    def seed(self) -> int:
        """Its seed."""


R = TypeVar("R", bound=NamedRun)


@dataclass(frozen=True)
class Summary:
    """Final values of one metric under one recipe."""

    recipe: str
    metric: str
    mean: float
    deviation: float  # between seeds, with n - 1; nan for one seed
    values: tuple[float, ...]


@dataclass(frozen=True)
class PairedDifference:
    """Recipe minus baseline, seed by seed, with the 95 % t interval of its mean."""

    recipe: str
    baseline: str
    metric: str
    mean: float
    low: float
    high: float
    values: tuple[float, ...]


def read_curves(folder: Path, *, training: bool = False) -> Curves:
    """The evaluation results of a work dir, from mmengine's JSON logs, those of resumed runs joined.

    Training lines carry a learning rate or a loss; every other line is an evaluation. Where a step was logged twice,
    the later start counts, since it replaced what came before.

    Args:
        folder: A work dir of mmengine, with ``TIMESTAMP/vis_data/scalars.json``.
        training: Whether to read the training lines instead, whose metrics are called ``train/...`` then: means over
            mmengine's window of the latest steps. Defaults to False.

    Returns:
        Metric name -> (step, value), by step.
    """
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # a killed run's half written last line
            if training != any(key == "iter" or key.startswith(("lr", "loss")) or key.endswith("lr") for key in entry):
                continue
            for key, value in entry.items():
                if key in _NOT_METRICS or not isinstance(value, (int, float)) or (training and key.endswith("lr")):
                    continue
                found.setdefault(f"train/{key}" if training else key, {})[int(entry["step"])] = float(value)
    return {metric: sorted(curve.items()) for metric, curve in found.items()}


def summarise(recipe: str, metric: str, values: Sequence[float]) -> Summary:
    """Mean and spread of final values."""
    mean = sum(values) / len(values)
    spread = sum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(spread / (len(values) - 1)) if len(values) > 1 else math.nan
    return Summary(recipe, metric, mean, deviation, tuple(values))


def paired_differences(recipe: Summary, baseline: Summary, confidence: float = 0.95) -> PairedDifference:
    """The differences of values of equal seeds; the interval is that of Student's t, nan for one seed."""
    from scipy.stats import t

    differences = [value - other for value, other in zip(recipe.values, baseline.values)]
    summary = summarise(recipe.recipe, recipe.metric, differences)
    count = len(differences)
    half = math.nan
    if count > 1:
        half = float(t.ppf((1 + confidence) / 2, count - 1)) * summary.deviation / math.sqrt(count)
    return PairedDifference(
        recipe.recipe,
        baseline.recipe,
        recipe.metric,
        summary.mean,
        summary.mean - half,
        summary.mean + half,
        tuple(differences),
    )


def markdown(summaries: Sequence[Summary], differences: Sequence[PairedDifference], seeds: Sequence[int]) -> str:
    """The report as tables: one of the final values, one of the differences from each baseline."""
    lines = [
        f"Final values over seeds {', '.join(map(str, seeds))} (n = {len(seeds)}).",
        "",
        "| metric | recipe | mean | spread (sd) | values |",
        "|---|---|---|---|---|",
    ]
    for row in summaries:
        values = ", ".join(f"{value:.4g}" for value in row.values)
        lines.append(f"| {row.metric} | {row.recipe} | {row.mean:.4g} | {row.deviation:.3g} | {values} |")
    for baseline in dict.fromkeys(pair.baseline for pair in differences):
        lines += [
            "",
            f"Paired differences from {baseline}, seed by seed, with the 95 % t interval of the mean.",
            "",
            "| metric | recipe | mean difference | 95 % interval | differences |",
            "|---|---|---|---|---|",
        ]
        for pair in differences:
            if pair.baseline == baseline:
                values = ", ".join(f"{value:+.4g}" for value in pair.values)
                interval = f"{pair.low:+.4g} to {pair.high:+.4g}"
                lines.append(f"| {pair.metric} | {pair.recipe} | {pair.mean:+.4g} | {interval} | {values} |")
    return "\n".join(lines) + "\n"


def plot(path: Path, curves: Mapping[R, Curves], metrics: Sequence[str]) -> None:
    """Each metric over the iterations: a thin line for each run, a thick one for the mean of a recipe."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ModuleNotFoundError(f"the plot needs matplotlib ({error}): pip install 'nda_mm[gan]'") from error

    figure = Figure(figsize=(6.4, 3.2 * len(metrics)), layout="constrained")
    names = list(dict.fromkeys(run.name for run in curves))
    for index, metric in enumerate(metrics):
        axes = figure.add_subplot(len(metrics), 1, index + 1)
        for number, name in enumerate(names):
            lines = [curve[metric] for run, curve in curves.items() if run.name == name]
            for line in lines:
                axes.plot(*zip(*line), color=f"C{number}", linewidth=0.6, alpha=0.5)
            steps = sorted(set.intersection(*({step for step, _ in line} for line in lines)))
            means = [sum(dict(line)[step] for line in lines) / len(lines) for step in steps]
            axes.plot(steps, means, color=f"C{number}", linewidth=2, marker="o", markersize=3, label=name)
        axes.set(xlabel="step", ylabel=metric)  # iterations, or epochs where a recipe counts those
        axes.legend()
    figure.savefig(path, dpi=120)
