"""Curves of what runs logged, and their last values side by side."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import pandas as pd

from nda_mm.studies.table import markdown_table, plot, read_evaluations

__all__ = ["draw_curves", "read_run"]


def read_run(folder: Path) -> pd.DataFrame:
    """What a run logged while it trained (``train/...``) and when it was evaluated.

    Args:
        folder: A work directory of mmengine.

    Returns:
        ``metric``, ``step`` and ``value``.

    Raises:
        ValueError: If the folder holds no log.
    """
    table = pd.concat([read_evaluations(folder, training=True), read_evaluations(folder)], ignore_index=True)
    if table.empty:
        raise ValueError(f"{folder} holds no logged values; a run writes them to TIMESTAMP/vis_data/scalars.json")
    return table


def draw_curves(runs: Sequence[Path], keys: Sequence[str], out: Path) -> str:
    """Draw a panel for each value over the steps, with a line for each run.

    Args:
        runs: Work directories.
        keys: Names of values, which may have wildcards.
        out: The picture; its suffix says the format.

    Returns:
        The last value of each run, as a table in Markdown.

    Raises:
        ValueError: If a run has no log, or no run logged a key.
    """
    names = [run.as_posix() for run in runs]
    table = pd.concat([read_run(run).assign(recipe=name, seed=0) for run, name in zip(runs, names)])
    metrics = list(table["metric"].unique())
    for key in keys:
        if not any(fnmatchcase(metric, key) for metric in metrics):
            raise ValueError(f"keys must be logged by a run, but got {key!r}; logged: {', '.join(metrics)}")
    metrics = [metric for metric in metrics if any(fnmatchcase(metric, key) for key in keys)]
    table = table[table["metric"].isin(metrics)]
    out.parent.mkdir(parents=True, exist_ok=True)
    plot(out, table)
    last = table.sort_values("step", kind="stable").drop_duplicates(["metric", "recipe"], keep="last")
    values = {(row.metric, row.recipe): f"{row.value:.4g} (step {row.step:,})" for row in last.itertuples()}
    return markdown_table(["value", *names], [[m, *(values.get((m, name), "") for name in names)] for m in metrics])
