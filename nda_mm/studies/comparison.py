"""Recipes against each other over the same seeds and the same budget.

One run says little about a GAN: the spread over seeds is often larger than the effect. Recipes are therefore trained
with the same seeds, and compared seed by seed with the first of them, the baseline.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.studies.budgets import budget, course, in_words
from nda_mm.studies.measurements import Measurement, last_checkpoint, measure_all, measured
from nda_mm.studies.run_results import (
    Curves,
    PairedDifference,
    Summary,
    markdown,
    paired_differences,
    plot,
    read_curves,
    summarise,
)
from nda_mm.studies.run_table import add_rows, every_run, rows_of
from nda_mm.studies.training_jobs import Training, digest, is_finished, resolve, train_all

__all__ = ["Comparison", "NothingToCompareError", "Run"]


class NothingToCompareError(ValueError):
    """No seed has got far enough under all recipes."""


@dataclass(frozen=True)
class Run:
    """One recipe with one seed, and the folder of its results."""

    recipe: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """The recipe's name."""
        return Path(self.recipe).stem


class Comparison:
    """Trains recipes over seeds, each run in a process of its own, and reports what came out.

    Runs that have finished are kept; one that was cut off is resumed, and so is one that has finished at a smaller
    budget. A run whose recipe has changed otherwise is refused.

    Args:
        recipes: Config files, the baseline first; their names must differ.
        seeds: The same for every recipe.
        folder: Gets ``RECIPE/seed_N`` for every run, and the report.
        train_command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        cfg_options: ``K=V`` words for every run.
        train_options: Further options of the command that change the runs, such as ``--amp``.
        other_budgets: Allow recipes of different length or batch size.

    Raises:
        ValueError: if names or seeds repeat, or the budgets differ.
    """

    def __init__(
        self,
        recipes: Sequence[str],
        seeds: Sequence[int],
        folder: Path,
        *,
        train_command: Sequence[str],
        cfg_options: Sequence[str] = (),
        train_options: Sequence[str] = (),
        other_budgets: bool = False,
    ) -> None:
        names = [Path(recipe).stem for recipe in recipes]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"recipes must have different file names, as their results bear them, but got {names}")
        if len(set(seeds)) != len(seeds) or not seeds:
            raise ValueError(f"seeds must be given and differ, but got {list(seeds)}")
        self.recipes, self.seeds, self.folder = list(recipes), list(seeds), folder
        self.train_command, self.cfg_options = list(train_command), list(cfg_options)
        self.train_options, self.other_budgets = list(train_options), other_budgets
        self.configs = {recipe: resolve(recipe, cfg_options) for recipe in recipes}
        budgets = {recipe: budget(config) for recipe, config in self.configs.items()}
        if len({json.dumps(each, sort_keys=True) for each in budgets.values()}) > 1 and not other_budgets:
            lines = "; ".join(f"{Path(recipe).stem}: {each}" for recipe, each in budgets.items())
            raise ValueError(
                f"the recipes have different budgets, so that their results would not compare: {lines}. Make them "
                "equal (--cfg-options), or allow it (--allow-different-budgets)."
            )

    @property
    def runs(self) -> list[Run]:
        """All runs; seed by seed, so that an unfinished comparison has whole pairs."""
        return [
            Run(recipe, seed, self.folder / Path(recipe).stem / f"seed_{seed}")
            for seed in self.seeds
            for recipe in self.recipes
        ]

    def train(self, jobs: int = 1) -> list[Run]:
        """Train what is not finished, ``jobs`` runs at a time.

        Args:
            jobs: At least 1.

        Returns:
            The runs that failed; the others were still trained.

        Raises:
            ValueError: if the folder holds runs of these names with other settings.
        """
        trainings = {run.folder: self._training(run) for run in self.runs}
        command = [*self.train_command, *self.train_options]
        failed = train_all(list(trainings.values()), command, jobs, share_of_the_cores(jobs))
        return [run for run in self.runs if trainings[run.folder] in failed]

    def _training(self, run: Run) -> Training:
        config, words = self.configs[run.recipe], "".join(self.train_options)
        settings = dict(recipe=digest(config) + words, course=course(config) + words)
        return Training(
            run.recipe, run.seed, run.folder, run.name, settings, tuple(self.cfg_options), self._length(run)
        )

    def _length(self, run: Run) -> int | None:
        length = budget(self.configs[run.recipe])
        return length["max_iters"] or length["max_epochs"]

    @property
    def unfinished(self) -> list[Run]:
        """The runs that have not reached their length."""
        return [run for run in self.runs if not is_finished(run.folder, self._length(run))]

    def measure(self, test_command: Sequence[str], jobs: int = 1) -> list[Run]:
        """Measure the last checkpoint of every finished run by its recipe's ``test_evaluator``.

        Args:
            test_command: Words that start it, for example ``[python, 'tools/test.py']``.
            jobs: At least 1.

        Returns:
            The runs of which it failed.
        """
        unfinished = self.unfinished
        measurements = {
            run: Measurement(
                run.recipe,
                last_checkpoint(run.folder),
                run.folder / "test",
                f"{run.name}, seed {run.seed}",
                tuple(self.cfg_options),
            )
            for run in self.runs
            if run not in unfinished
        }
        failed = measure_all(list(measurements.values()), test_command, jobs)
        return [run for run, measurement in measurements.items() if measurement in failed]

    @property
    def unmeasured(self) -> list[Run]:
        """The runs that have not finished, or whose end has not been measured."""
        unfinished = self.unfinished
        return [run for run in self.runs if run in unfinished or measured(run.folder / "test") is None]

    def curves(self) -> dict[Run, Curves]:
        """Evaluation results of every finished run, and what :meth:`measure` has found beyond them."""
        unfinished = self.unfinished
        return {run: _evaluations(run) for run in self.runs if run not in unfinished}

    def report(
        self, metrics: Sequence[str] | None = None, *, unfinished: bool = False, folder: Path | None = None
    ) -> str:
        """Write ``results.csv``, ``results.md`` and ``results.png`` and return the tables.

        ``results.csv`` keeps what it holds of other recipes and seeds: it is the table of all that was ever trained.

        Args:
            metrics: Those to report. Default None: all that every run has.
            unfinished: While no seed has finished for all recipes, whether to compare the seeds that have been
                evaluated for all, at the last step they share. Default False.
            folder: Where to write. Default None: the folder of the runs.

        Raises:
            NothingToCompareError: if no seed is finished (evaluated) for all recipes.
            ValueError: if they share no metric.
        """
        folder = folder or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        every = {run: _evaluations(run) for run in self.runs}
        used = self._whole_seeds(self.curves())
        is_over = bool(used)
        if unfinished and not is_over:
            used = self._whole_seeds({run: curves for run, curves in every.items() if curves})
        if not used:
            raise NothingToCompareError(
                f"no seed has finished runs of all recipes in {self.folder}; there is nothing to compare"
            )
        shared = [name for name in next(iter(used.values())) if all(name in curve for curve in used.values())]
        chosen = shared if metrics is None else list(metrics)
        missing = [name for name in chosen if name not in shared]
        if missing or not chosen:
            raise ValueError(
                f"the runs do not all log {missing or 'any metric'}; they share {shared or 'none'}. Does the recipe "
                "have val_cfg, val_dataloader and val_evaluator, and val_interval at most its length?"
            )
        used = {run: {name: curves[name] for name in chosen} for run, curves in used.items()}
        if not self.other_budgets:
            used = up_to_the_same_step(used)
        summaries, differences = self._statistics(used, chosen)
        seeds = list(dict.fromkeys(run.seed for run in used))
        configs = {Path(recipe).stem: config for recipe, config in self.configs.items()}
        parts = [self._where(used, configs, is_over), markdown(summaries, differences, seeds)]
        rows = [row for row in rows_of(every, configs) if metrics is None or row.metric in metrics]
        parts.append(every_run(add_rows(folder / "results.csv", rows)))
        text = "\n".join(parts)
        (folder / "results.md").write_text(text)
        courses = [name for name in chosen if any(len(curves[name]) > 1 for curves in used.values())]
        plot(folder / "results.png", used, courses or chosen)
        return text

    def _where(self, used: Mapping[Run, Curves], configs: Mapping[str, Any], is_over: bool) -> str:
        """The budget of what is compared, in words."""
        lines = [] if is_over else ["The runs have not finished; compared is the last step that they share."]
        ends = {run.name: max(curve[-1][0] for curve in curves.values()) for run, curves in used.items()}
        for step in sorted(set(ends.values())):
            names = [name for name, end in ends.items() if end == step]
            whose = "" if len(set(ends.values())) == 1 else f" of {', '.join(names)}"
            lines.append(f"Budget{whose}: {in_words(configs[names[0]], step)}.")
        return "\n".join(lines) + "\n"

    def _whole_seeds(self, curves: Mapping[Run, Curves]) -> dict[Run, Curves]:
        """Of some runs, those of the seeds that all recipes have."""
        there = {(run.recipe, run.seed) for run in curves}
        whole = [seed for seed in self.seeds if all((recipe, seed) in there for recipe in self.recipes)]
        return {run: curve for run, curve in curves.items() if run.seed in whole}

    def _statistics(
        self, used: Mapping[Run, Curves], metrics: Iterable[str]
    ) -> tuple[list[Summary], list[PairedDifference]]:
        final = {(run.name, run.seed): curves for run, curves in used.items()}
        seeds = list(dict.fromkeys(run.seed for run in used))
        names = [Path(recipe).stem for recipe in self.recipes]
        summaries, differences = [], []
        for metric in metrics:
            rows = [summarise(name, metric, [final[name, seed][metric][-1][1] for seed in seeds]) for name in names]
            summaries += rows
            differences += [paired_differences(row, rows[0]) for row in rows[1:]]
        return summaries, differences


def share_of_the_cores(jobs: int) -> dict[str, str]:
    """How many threads each of some runs side by side may have, as environment variables; those that are set stay.

    Each would start as many as there are cores otherwise, and they would wait for one another.
    """
    if jobs <= 1 or "OMP_NUM_THREADS" in os.environ:
        return {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // jobs))}


def _evaluations(run: Run) -> Curves:
    curves = read_curves(run.folder)
    step, values = measured(run.folder / "test") or (0, {})
    return {**{name: [(step, value)] for name, value in values.items()}, **curves}


def up_to_the_same_step(curves: Mapping[Run, Curves]) -> dict[Run, Curves]:
    """Each metric's curves up to the last step that all runs have; as they are, if they share none.

    Example:
        >>> runs = Run("a.py", 0, Path("a")), Run("b.py", 0, Path("b"))
        >>> curves = [dict(x=[(1, 0.5), (2, 0.4), (3, 0.3)]), dict(x=[(1, 0.6), (2, 0.5)])]
        >>> list(up_to_the_same_step(dict(zip(runs, curves))).values())
        [{'x': [(1, 0.5), (2, 0.4)]}, {'x': [(1, 0.6), (2, 0.5)]}]
    """
    cut: dict[Run, Curves] = {run: {} for run in curves}
    for metric in next(iter(curves.values())):
        steps = set.intersection(*({step for step, _ in each[metric]} for each in curves.values()))
        end = max(steps) if steps else math.inf
        for run, each in curves.items():
            cut[run][metric] = [(step, value) for step, value in each[metric] if step <= end]
    return cut
