"""Tables of runs with one value per row: read from logs, saved as CSV, summarized over seeds, printed and plotted.

A table of runs is a :class:`pandas.DataFrame` with the columns ``recipe``, ``seed``, ``metric``, ``step`` and
``value``. In studies of GANs it also has ``generator_step`` and ``samples``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import t

from nda_mm.utils.files import write_text_atomically

_NOT_METRICS = {"step", "epoch", "iter", "time", "data_time", "memory"}
_OF_MISSING = (
    "Means and differences are over the available seeds. mmdet's CocoMetric reports no average precision for a "
    "detector that finds no object at all. In that case the missing values are the worst ones, not random omissions."
)


def read_evaluations(folder: Path, *, training: bool = False) -> pd.DataFrame:
    """Read the evaluation results of a work dir from mmengine's JSON logs, and join the logs of a resumed run.

    Training lines contain a learning rate or a loss; all other lines are evaluations. If a step was logged twice, the
    run that was started later is used.

    Args:
        folder: A work dir of mmengine, with ``TIMESTAMP/vis_data/scalars.json``.
        training: Whether to read the training lines instead. Their metrics are called ``train/...`` and are means over
            mmengine's window of the latest steps. Defaults to False.

    Returns:
        A table with ``metric``, ``step`` and ``value``, sorted by step.
    """
    rows = []
    for path in sorted(folder.glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run may be incomplete
            if training != any(key == "iter" or key.startswith(("lr", "loss")) or key.endswith("lr") for key in entry):
                continue
            for key, value in entry.items():
                if key not in _NOT_METRICS and not key.endswith("lr") and isinstance(value, (int, float)):
                    rows.append((f"train/{key}" if training else key, entry["step"], value))
    table = pd.DataFrame(rows, columns=["metric", "step", "value"]).drop_duplicates(["metric", "step"], keep="last")
    return table.astype({"metric": str, "step": int, "value": float}).sort_values("step", kind="stable")


def add_rows(path: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Add rows to a CSV file, where they replace earlier rows of the same runs.

    Returns:
        All rows that the file now contains.
    """
    if path.is_file():
        run, counts = ["recipe", "seed"], {"generator_step": "Int64", "samples": "Int64"}
        old = pd.read_csv(path, dtype={"recipe": str, **counts}, float_precision="round_trip")
        kept = old[~old.set_index(run).index.isin(rows.set_index(run).index)]
        rows = pd.concat([kept, rows] if len(kept) else [rows], ignore_index=True)
    write_text_atomically(path, rows.to_csv(index=False, lineterminator="\n"))
    return rows


def every_run(table: pd.DataFrame) -> str:
    """Return a Markdown table of all runs, with their budgets and last values."""
    of_gans = table["generator_step"].notna().any()
    metrics = list(table["metric"].unique())
    rows = []
    for (recipe, seed), run in table.groupby(["recipe", "seed"], sort=False):
        run = run.sort_values("step")
        last, end = run.drop_duplicates("metric", keep="last").set_index("metric")["value"], run.iloc[-1]
        counts = [end[name] if pd.notna(end[name]) else 0 for name in ("generator_step", "samples")] if of_gans else []
        values = [f"{last[metric]:.4g}" if metric in last else "" for metric in metrics]
        rows.append([recipe, seed, *(f"{count:,}" for count in (end["step"], *counts)), *values])
    columns = ["recipe", "seed", "step", *(["generator steps", "samples"] if of_gans else []), *metrics]
    return f"All runs at their last evaluation.\n\n{markdown_table(columns, rows)}\n"


def final_values(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last step of each run and metric."""
    return table.loc[table.groupby(["metric", "recipe", "seed"], sort=False)["step"].idxmax()]


def paired_interval(differences: pd.Series) -> tuple[float, float]:
    """Return Student's 95 % t interval of the mean of paired differences; nan for a single seed.

    Example:
        >>> [round(end, 3) for end in paired_interval(pd.Series([0.2, 0.1]))]
        [-0.485, 0.785]
    """
    mean = differences.mean(skipna=False)
    half = t.ppf(0.975, len(differences) - 1) * differences.sem(skipna=False)  # t.interval is undefined at scale 0
    return float(mean - half), float(mean + half)


def paired_tables(
    final: pd.DataFrame, recipes: Sequence[str], seeds: Sequence[int], baselines: Sequence[str] = ()
) -> str:
    """Return Markdown tables of means and spread over seeds, and of paired differences from the baselines.

    Means are over the seeds that have a value, differences over the seeds for which both recipes have one. Missing
    values are listed below the tables.

    Args:
        final: Final values, one for each metric, recipe and seed.
        recipes: Names of the recipes, in the order of the rows.
        seeds: All seeds of the study.
        baselines: Recipes with which all later ones are compared. Defaults to the first recipe.

    Example:
        >>> rows = [("top1", "a", 0, 80.0), ("top1", "b", 0, 82.5)]
        >>> print(paired_tables(pd.DataFrame(rows, columns=["metric", "recipe", "seed", "value"]), ["a", "b"], [0]))
        Final values over seeds 0 (n = 1).
        <BLANKLINE>
        | metric | recipe | mean | spread (sd) | values |
        |---|---|---|---|---|
        | top1 | a | 80 | nan | 80 |
        | top1 | b | 82.5 | nan | 82.5 |
        <BLANKLINE>
        Paired differences from a, seed by seed, with the 95 % t interval of the mean.
        <BLANKLINE>
        | metric | recipe | mean difference | 95 % interval | differences |
        |---|---|---|---|---|
        | top1 | b | +2.5 | +nan to +nan | +2.5 |
        <BLANKLINE>
    """
    groups, metrics = final.groupby(["metric", "recipe"]), final["metric"].unique()
    found = {key: rows.set_index("seed")["value"] for key, rows in groups}
    rows, missing = [], []
    # List all values of each recipe, and find the missing ones.
    for metric, recipe in product(metrics, recipes):
        values = found.get((metric, recipe), pd.Series(dtype=float))
        if len(values):
            mean, std = values.mean(skipna=False), values.std(skipna=False)
            rows.append([metric, recipe, f"{mean:.4g}", f"{std:.3g}", ", ".join(f"{value:.4g}" for value in values)])
        absent = [str(seed) for seed in seeds if seed not in values.index]
        missing += [f"- {metric} of {recipe}, seed {', '.join(absent)}"] if absent else []
    parts = [f"Final values over seeds {', '.join(map(str, seeds))} (n = {len(seeds)})."]
    parts.append(markdown_table(["metric", "recipe", "mean", "spread (sd)", "values"], rows))
    # Compute differences over the seeds that both recipes have.
    for baseline in baselines or recipes[:1]:
        rows = []
        for metric, recipe in product(metrics, recipes[recipes.index(baseline) + 1 :]):
            if (metric, recipe) not in found or (metric, baseline) not in found:
                continue
            values, others = found[metric, recipe].align(found[metric, baseline], join="inner")
            differences = values - others
            if len(differences):
                mean, (low, high) = differences.mean(skipna=False), paired_interval(differences)
                listed = ", ".join(f"{value:+.4g}" for value in differences)
                rows.append([metric, recipe, f"{mean:+.4g}", f"{low:+.4g} to {high:+.4g}", listed])
        if rows:
            columns = ["metric", "recipe", "mean difference", "95 % interval", "differences"]
            parts.append(f"Paired differences from {baseline}, seed by seed, with the 95 % t interval of the mean.")
            parts.append(markdown_table(columns, rows))
    if missing:
        parts.append("Missing values, because the run has not finished or did not measure them:")
        parts += ["\n".join(missing), _OF_MISSING]
    return "\n\n".join(parts) + "\n"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format rows as a Markdown table.

    Example:
        >>> print(markdown_table(["recipe", "seed"], [["nda", 0]]))
        | recipe | seed |
        |---|---|
        | nda | 0 |
    """
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (columns, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(columns), *lines[1:]])


def plot(path: Path, table: pd.DataFrame) -> None:
    """Plot each metric over the steps, with a thin line for each run and a thick line for the mean of each recipe."""
    metrics = table["metric"].unique()
    figure = Figure(figsize=(6.4, 3.2 * len(metrics)), layout="constrained")
    for metric, axes in zip(metrics, figure.subplots(len(metrics), squeeze=False).flat):
        of_metric = table[table["metric"] == metric]
        for number, (recipe, rows) in enumerate(of_metric.groupby("recipe", sort=False)):
            runs = rows.pivot(index="step", columns="seed", values="value")
            for seed in runs:
                axes.plot(runs[seed].dropna(), color=f"C{number}", linewidth=0.6, alpha=0.5)
            mean = runs.dropna().mean(axis=1)
            axes.plot(mean, color=f"C{number}", linewidth=2, marker="o", markersize=3, label=recipe)
        axes.set(xlabel="step", ylabel=metric)  # iterations, or epochs if a recipe counts in epochs
        axes.legend()
    figure.savefig(path, dpi=120)


def draw_curves(runs: Sequence[Path], keys: Sequence[str], out: Path) -> str:
    """Plot logged values over the steps, in a panel for each value with a line for each run.

    Args:
        runs: Work directories.
        keys: Names of the values to plot; wildcards are allowed.
        out: Path of the image. The suffix determines the format.

    Returns:
        The last values of each run, as a Markdown table.

    Raises:
        ValueError: If a run has no log, or no run logged a key.
    """
    # Read what the runs logged in training and in evaluations.
    names, tables = [run.as_posix() for run in runs], []
    for run, name in zip(runs, names):
        logged = pd.concat([read_evaluations(run, training=True), read_evaluations(run)])
        if logged.empty:
            raise ValueError(f"{run} contains no logged values, which a run writes to TIMESTAMP/vis_data/scalars.json")
        tables.append(logged.assign(recipe=name, seed=0))
    table = pd.concat(tables)
    # Keep and plot the requested values.
    metrics = list(table["metric"].unique())
    for key in keys:
        if not any(fnmatchcase(metric, key) for metric in metrics):
            raise ValueError(f"keys must be logged by a run, but got {key!r}; logged values: {', '.join(metrics)}")
    metrics = [metric for metric in metrics if any(fnmatchcase(metric, key) for key in keys)]
    table = table[table["metric"].isin(metrics)]
    out.parent.mkdir(parents=True, exist_ok=True)
    plot(out, table)
    # List the last values of all runs side by side.
    last = table.sort_values("step", kind="stable").drop_duplicates(["metric", "recipe"], keep="last")
    values = {(row.metric, row.recipe): f"{row.value:.4g} (step {row.step:,})" for row in last.itertuples()}
    return markdown_table(["value", *names], [[m, *(values.get((m, name), "") for name in names)] for m in metrics])
