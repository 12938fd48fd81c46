"""One table of all runs that a study has made so far, each value with the budget it was reached at."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from nda_mm.studies.budgets import generator_step, sample_count
from nda_mm.studies.run_results import Curves, NamedRun
from nda_mm.utils.files import write_text_atomically

__all__ = ["Row", "add_rows", "every_run", "rows_of"]

R = TypeVar("R", bound=NamedRun)


@dataclass(frozen=True)
class Row:
    """One value of one metric.

    Args:
        recipe: Its name.
        seed: Of the run.
        metric: Its name.
        step: Iterations trained (epochs, where a recipe counts those).
        value: Of the metric.
        generator_step: Steps of the generator in them; None if there is no GAN.
        samples: Generated images the value was measured with; None if there are none.
    """

    recipe: str
    seed: int
    metric: str
    step: int
    value: float
    generator_step: int | None = None
    samples: int | None = None


def rows_of(curves: Mapping[R, Curves], configs: Mapping[str, Any]) -> list[Row]:
    """All values of some runs.

    Args:
        curves: Of each run.
        configs: Of each recipe by name.
    """
    return [
        Row(
            run.name,
            run.seed,
            metric,
            step,
            value,
            generator_step(configs[run.name], step),
            sample_count(configs[run.name]),
        )
        for run, found in curves.items()
        for metric, curve in found.items()
        for step, value in curve
    ]


def add_rows(path: Path, rows: Sequence[Row]) -> list[Row]:
    """Put rows into a table, in place of those that it holds of the same runs; the others stay.

    Args:
        path: A CSV file, or where it shall be.
        rows: Of some runs.

    Returns:
        What the table holds now.
    """
    renewed = {(row.recipe, row.seed) for row in rows}
    kept = [row for row in _read(path) if (row.recipe, row.seed) not in renewed]
    merged = [*kept, *rows]
    text = io.StringIO()
    names = [field.name for field in fields(Row)]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(["" if getattr(row, name) is None else getattr(row, name) for name in names] for row in merged)
    write_text_atomically(path, text.getvalue())
    return merged


def _read(path: Path) -> Iterable[Row]:
    if not path.is_file():
        return
    with path.open(newline="") as file:
        for line in csv.DictReader(file):
            counts = [int(line[name]) if line.get(name) else None for name in ("generator_step", "samples")]
            yield Row(
                line["recipe"], int(line["seed"]), line["metric"], int(line["step"]), float(line["value"]), *counts
            )


def every_run(rows: Sequence[Row]) -> str:
    """Markdown: each run with its budget and what it has come to."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    last: dict[tuple[str, int], dict[str, Row]] = {}
    for row in rows:
        found = last.setdefault((row.recipe, row.seed), {})
        if row.metric not in found or row.step > found[row.metric].step:
            found[row.metric] = row
    of_gans = any(row.generator_step is not None for row in rows)
    columns = ["recipe", "seed", "step", *(["generator steps", "samples"] if of_gans else []), *metrics]
    lines = [
        "Every run at its last evaluation.",
        "",
        f"| {' | '.join(columns)} |",
        "|" + "---|" * len(columns),
    ]
    for (recipe, seed), found in last.items():
        end = max(found.values(), key=lambda row: row.step)
        gan = [f"{end.generator_step or 0:,}", f"{end.samples or 0:,}"] if of_gans else []
        values = [f"{found[metric].value:.4g}" if metric in found else "" for metric in metrics]
        lines.append(f"| {' | '.join([recipe, str(seed), f'{end.step:,}', *gan, *values])} |")
    return "\n".join(lines) + "\n"
