"""Compare recipes over the same seeds and the same budget.

One run says little about a GAN, since the spread over seeds is often larger than the effect. Recipes are therefore
trained with the same seeds, and compared seed by seed with the first recipe, the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from nda_mm.studies.jobs import (
    Measurement,
    Training,
    course,
    digest,
    is_finished,
    last_checkpoint,
    length,
    measured,
    resolve,
    run_all,
    unique_names,
)
from nda_mm.studies.table import add_rows, every_run, final_values, paired_tables, plot, read_evaluations


class NothingToCompareError(ValueError):
    """Raised if no seed has been evaluated for all recipes."""


@dataclass(frozen=True)
class Run:
    """A run of one recipe with one seed, with the folder of its results."""

    recipe: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return Path(self.recipe).stem

    @property
    def label(self) -> str:
        """Name and seed, for messages."""
        return f"{self.name}, seed {self.seed}"


class Comparison:
    """Trains recipes over seeds, each run in its own process, and reports the results.

    Finished runs are kept. Interrupted runs are resumed, as are runs that finished with a smaller budget. Any other
    change of a recipe raises an error.

    Args:
        recipes: Config files, the baseline first. Their names must differ.
        seeds: Seeds to train every recipe with.
        folder: Folder for the runs, in ``RECIPE/seed_N``, and for the report.
        train_command: Command that trains a config, for example ``[python, 'tools/train.py']``.
        cfg_options: ``K=V`` overrides for every run. Defaults to none.
        train_options: Further options of the command that change the runs, such as ``--amp``. Defaults to none.
        other_budgets: Whether recipes may have different lengths or batch sizes. Defaults to False.

    Raises:
        ValueError: If names or seeds repeat, or the budgets differ.
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
        self.names = unique_names(recipes)
        if len(set(seeds)) != len(seeds) or not seeds:
            raise ValueError(f"seeds must be non-empty and all different, but got {list(seeds)}")
        self.recipes, self.seeds, self.folder = list(recipes), list(seeds), folder
        self.train_command, self.cfg_options = [*train_command, *train_options], tuple(cfg_options)
        self.train_options, self.other_budgets = "".join(train_options), other_budgets
        self.configs = {recipe: resolve(recipe, cfg_options) for recipe in recipes}
        budgets = [budget(config) for config in self.configs.values()]
        if any(each != budgets[0] for each in budgets) and not other_budgets:
            listed = "; ".join(f"{name}: {each}" for name, each in zip(self.names, budgets))
            raise ValueError(
                f"the recipes have different budgets: {listed}. Make them equal with --cfg-options, or use "
                "--allow-different-budgets."
            )

    @property
    def runs(self) -> list[Run]:
        """All runs, seed by seed, so that an unfinished comparison has complete pairs."""
        return [
            Run(recipe, seed, self.folder / Path(recipe).stem / f"seed_{seed}")
            for seed in self.seeds
            for recipe in self.recipes
        ]

    @property
    def unfinished(self) -> list[Run]:
        """Runs that have not reached their full length."""
        return [run for run in self.runs if not is_finished(run.folder, length(self.configs[run.recipe]))]

    @property
    def unmeasured(self) -> list[Run]:
        """Runs that have not finished, or whose last checkpoint has not been measured."""
        unfinished = self.unfinished
        return [run for run in self.runs if run in unfinished or measured(run.folder / "test") is None]

    @property
    def finished_seeds(self) -> list[int]:
        """Seeds that have finished for all recipes."""
        unfinished = {run.seed for run in self.unfinished}
        return [seed for seed in self.seeds if seed not in unfinished]

    def train(self, jobs: int = 1) -> list[Run]:
        """Train all runs that have not finished, ``jobs`` at a time.

        Returns:
            The runs that failed. A failure does not stop the others.

        Raises:
            ValueError: If the folder holds runs of these names with other settings, or ``jobs`` is below 1.
        """
        trainings = {run: self._training(run) for run in self.runs}
        for training in trainings.values():
            training.check_folder()
        failed = run_all(list(trainings.values()), self.train_command, jobs)
        return [run for run, training in trainings.items() if training in failed]

    def measure(self, test_command: Sequence[str], jobs: int = 1) -> list[Run]:
        """Measure the last checkpoint of every finished run with the ``test_evaluator`` of its recipe.

        Args:
            test_command: Command that starts a test, for example ``[python, 'tools/test.py']``.
            jobs: Number of tests to run at a time, at least 1. Defaults to 1.

        Returns:
            The runs whose test failed.
        """
        unfinished = self.unfinished
        measurements = {run: self._measurement(run) for run in self.runs if run not in unfinished}
        failed = run_all(list(measurements.values()), test_command, jobs)
        return [run for run, measurement in measurements.items() if measurement in failed]

    def table(self) -> pd.DataFrame:
        """Return every evaluation of every run so far, and the metrics that only :meth:`measure` has computed."""
        tables = []
        for run in self.runs:
            found, config = read_evaluations(run.folder), self.configs[run.recipe]
            step, values = measured(run.folder / "test") or (0, {})
            further = [(name, step, value) for name, value in values.items() if name not in set(found["metric"])]
            found = pd.concat([pd.DataFrame(further, columns=found.columns), found]) if further else found
            generator_steps = [generator_step(config, step) for step in found["step"]]
            samples = sample_count(config)
            found = found.assign(recipe=run.name, seed=run.seed, generator_step=generator_steps, samples=samples)
            tables.append(found.astype({"generator_step": "Int64", "samples": "Int64"}))
        columns = ["recipe", "seed", "metric", "step", "value", "generator_step", "samples"]
        return pd.concat(tables, ignore_index=True)[columns]

    def compared(self, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the part of :meth:`table` to compare: the seeds that have finished for all recipes.

        If there is no such seed yet, the seeds that have been evaluated for all recipes are used. Each metric ends at
        the last step that all runs share, unless different budgets are allowed.

        Args:
            metrics: Metrics to compare. Defaults to all that every run has.

        Raises:
            NothingToCompareError: If no seed has been evaluated for all recipes.
            ValueError: If the runs share no metric, or a requested metric is missing in some of them.
        """
        # Choose the seeds that have finished for all recipes, or else those that have been evaluated for all.
        table = self.table()
        recipes_of_seed = table.groupby("seed")["recipe"].nunique()
        evaluated = [seed for seed in self.seeds if recipes_of_seed.get(seed, 0) == len(self.recipes)]
        seeds = self.finished_seeds or evaluated
        if not seeds:
            raise NothingToCompareError(f"no seed has been evaluated for all recipes in {self.folder}")
        # Choose the metrics that every run has.
        table, count = table[table["seed"].isin(seeds)], len(seeds) * len(self.recipes)
        of_runs = table.drop_duplicates(["metric", "recipe", "seed"])["metric"].value_counts()
        shared = [metric for metric in table["metric"].unique() if of_runs[metric] == count]
        chosen = shared if metrics is None else list(metrics)
        missing = [name for name in chosen if name not in shared]
        if missing or not chosen:
            raise ValueError(
                f"all runs must log {missing or 'a common metric'}, but they share {shared or 'none'}. Is val_interval "
                "longer than the training?"
            )
        table = pd.concat([table[table["metric"] == metric] for metric in chosen])
        if self.other_budgets:
            return table
        # Cut at the last step that all runs have reached: a longer run must not win by its length.
        common = table[table.groupby(["metric", "step"])["value"].transform("size") == count]
        last = table["metric"].map(common.groupby("metric")["step"].max()).fillna(math.inf)
        return table[table["step"] <= last]

    def report(self, metrics: Sequence[str] | None = None, folder: Path | None = None) -> str:
        """Write ``results.csv``, ``results.md`` and ``results.png``, and return the tables.

        Rows of other recipes and seeds in ``results.csv`` are kept, so it collects all runs that were ever trained.

        Args:
            metrics: Metrics to report. Defaults to all that every run has.
            folder: Folder to write to. Defaults to the folder of the runs.

        Raises:
            ValueError: If :meth:`compared` raises it.
        """
        folder = folder or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        # The tables compare finished seeds, while the CSV file gets every evaluation.
        used, table = self.compared(metrics), self.table()
        if metrics is not None:
            table = table[table["metric"].isin(metrics)]
        seeds = [seed for seed in self.seeds if seed in set(used["seed"])]
        parts = [
            self._describe_budgets(used),
            paired_tables(final_values(used), self.names, seeds),
            every_run(add_rows(folder / "results.csv", table)),
        ]
        text = "\n".join(parts)
        (folder / "results.md").write_text(text)
        of_several_steps = used.groupby("metric")["step"].transform("nunique") > 1
        plot(folder / "results.png", used[of_several_steps] if of_several_steps.any() else used)
        return text

    def _training(self, run: Run) -> Training:
        config = self.configs[run.recipe]
        settings = dict(course=course(config) + self.train_options)
        return Training(run.recipe, run.folder, run.label, settings, self.cfg_options, run.seed, length(config))

    def _measurement(self, run: Run) -> Measurement:
        settings, checkpoint = dict(config=digest(self.configs[run.recipe])), last_checkpoint(run.folder)
        return Measurement(run.recipe, run.folder / "test", run.label, settings, self.cfg_options, checkpoint)

    def _describe_budgets(self, used: pd.DataFrame) -> str:
        """Describe the budgets of the runs that are compared."""
        lines = []
        if not self.finished_seeds:
            lines.append("The runs have not finished, so they are compared at the last step that they share.")
        ends = used.groupby("recipe", sort=False)["step"].max()
        for step in sorted(set(ends)):
            names = list(ends.index[ends == step])
            whose = "" if ends.nunique() == 1 else f" of {', '.join(names)}"
            config = self.configs[self.recipes[self.names.index(names[0])]]
            lines.append(f"Budget{whose}: {describe_budget(config, step)}.")
        return "\n".join(lines) + "\n"


def budget(config: Any) -> dict[str, Any]:
    """Return the budget of a recipe: iterations or epochs, batch size, and steps of both networks."""
    train, model = config.get("train_cfg") or {}, config.get("model") or {}
    loader = config.get("train_dataloader") or {}
    return dict(
        max_iters=train.get("max_iters"),
        max_epochs=train.get("max_epochs"),
        batch_size=loader.get("batch_size"),
        discriminator_steps=model.get("discriminator_steps"),
        generator_steps=model.get("generator_steps"),
    )


def describe_budget(config: Any, step: int) -> str:
    """Describe a budget for a report.

    Example:
        >>> describe_budget(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 40_000)
        '40,000 steps (10,000 of the generator)'
    """
    of_generator, samples = generator_step(config, step), sample_count(config)
    text = f"{step:,} steps"
    text += "" if of_generator is None else f" ({of_generator:,} of the generator)"
    return text + ("" if samples is None else f", measured with {samples:,} samples")


def generator_step(config: Any, step: int) -> int | None:
    """Return the generator updates after ``step`` iterations, which count discriminator steps; None without a GAN.

    Example:
        >>> generator_step(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 390_000)
        97500
    """
    model = config.get("model") or {}
    if not model.get("discriminator"):
        return None
    wrapper = (config.get("optim_wrapper") or {}).get("discriminator") or {}
    updates = step // wrapper.get("accumulative_counts", 1)
    return updates // model.get("discriminator_steps", 1) * model.get("generator_steps", 1)


def sample_count(config: Any) -> int | None:
    """Return how many samples the metrics of a recipe generate, or None if they generate none or different numbers."""
    evaluator = config.get("val_evaluator") or []
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else evaluator.get("metrics", [evaluator])
    counts = {metric["fake_nums"] for metric in metrics if "fake_nums" in metric}
    return counts.pop() if len(counts) == 1 else None
