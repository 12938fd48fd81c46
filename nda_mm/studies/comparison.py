"""Recipes compared over the same seeds and the same budget.

One run says little about a GAN: the spread over seeds is often larger than the effect. Recipes are therefore trained
with the same seeds, and compared seed by seed with the first of them, the baseline.
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
    """No seed has been evaluated under all recipes."""


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

    @property
    def label(self) -> str:
        """Name and seed."""
        return f"{self.name}, seed {self.seed}"


class Comparison:
    """Trains recipes over seeds, each run in its own process, and reports the results.

    Finished runs are kept; interrupted ones are resumed, and so are those that finished with a smaller budget. A run
    whose recipe has changed otherwise is refused.

    Args:
        recipes: Config files, the baseline first; their names must differ.
        seeds: The same for every recipe.
        folder: Gets ``RECIPE/seed_N`` for every run, and the report.
        train_command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        cfg_options: ``K=V`` words for every run.
        train_options: Further options of the command that change the runs, such as ``--amp``.
        other_budgets: Allow recipes of different length or batch size.

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
            raise ValueError(f"seeds must be given and differ, but got {list(seeds)}")
        self.recipes, self.seeds, self.folder = list(recipes), list(seeds), folder
        self.train_command, self.cfg_options = [*train_command, *train_options], tuple(cfg_options)
        self.train_options, self.other_budgets = "".join(train_options), other_budgets
        self.configs = {recipe: resolve(recipe, cfg_options) for recipe in recipes}
        budgets = [budget(config) for config in self.configs.values()]
        if any(each != budgets[0] for each in budgets) and not other_budgets:
            listed = "; ".join(f"{name}: {each}" for name, each in zip(self.names, budgets))
            raise ValueError(
                f"the recipes have different budgets: {listed}. Make them equal (--cfg-options), or allow it "
                "(--allow-different-budgets)."
            )

    @property
    def runs(self) -> list[Run]:
        """All runs; seed by seed, so that an unfinished comparison has whole pairs."""
        return [
            Run(recipe, seed, self.folder / Path(recipe).stem / f"seed_{seed}")
            for seed in self.seeds
            for recipe in self.recipes
        ]

    @property
    def unfinished(self) -> list[Run]:
        """The runs that have not reached their length."""
        return [run for run in self.runs if not is_finished(run.folder, length(self.configs[run.recipe]))]

    @property
    def unmeasured(self) -> list[Run]:
        """The runs that have not finished, or whose last checkpoint has not been measured."""
        unfinished = self.unfinished
        return [run for run in self.runs if run in unfinished or measured(run.folder / "test") is None]

    @property
    def finished_seeds(self) -> list[int]:
        """The seeds that have finished under all recipes."""
        unfinished = {run.seed for run in self.unfinished}
        return [seed for seed in self.seeds if seed not in unfinished]

    def train(self, jobs: int = 1) -> list[Run]:
        """Train what is not finished, ``jobs`` runs at a time.

        Returns:
            The runs that failed; the others were still trained.

        Raises:
            ValueError: If the folder holds runs of these names with other settings, or ``jobs`` is below 1.
        """
        trainings = {run: self._training(run) for run in self.runs}
        for training in trainings.values():
            training.check_folder()
        failed = run_all(list(trainings.values()), self.train_command, jobs)
        return [run for run, training in trainings.items() if training in failed]

    def measure(self, test_command: Sequence[str], jobs: int = 1) -> list[Run]:
        """Measure the last checkpoint of every finished run by its recipe's ``test_evaluator``.

        Args:
            test_command: Words that start it, for example ``[python, 'tools/test.py']``.
            jobs: At least 1.

        Returns:
            The runs of which it failed.
        """
        unfinished = self.unfinished
        measurements = {run: self._measurement(run) for run in self.runs if run not in unfinished}
        failed = run_all(list(measurements.values()), test_command, jobs)
        return [run for run, measurement in measurements.items() if measurement in failed]

    def table(self) -> pd.DataFrame:
        """Every evaluation of every run so far, and what :meth:`measure` has found beyond them."""
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
        """The part of :meth:`table` that compares: of the seeds that have finished under all recipes.

        While there is no such seed, those that have been evaluated under all. Each metric goes to the last step that
        all runs share, unless different budgets are allowed.

        Args:
            metrics: Those to compare. Defaults to all that every run has.

        Raises:
            NothingToCompareError: If no seed has been evaluated for all recipes.
            ValueError: If the runs share no metric, or do not all have those asked for.
        """
        # Seeds of which all recipes have finished; if there are none, those that all have been evaluated at.
        table = self.table()
        recipes_of_seed = table.groupby("seed")["recipe"].nunique()
        evaluated = [seed for seed in self.seeds if recipes_of_seed.get(seed, 0) == len(self.recipes)]
        seeds = self.finished_seeds or evaluated
        if not seeds:
            raise NothingToCompareError(f"no seed has been evaluated under all recipes in {self.folder}")
        # Metrics that every run has.
        table, count = table[table["seed"].isin(seeds)], len(seeds) * len(self.recipes)
        of_runs = table.drop_duplicates(["metric", "recipe", "seed"])["metric"].value_counts()
        shared = [metric for metric in table["metric"].unique() if of_runs[metric] == count]
        chosen = shared if metrics is None else list(metrics)
        missing = [name for name in chosen if name not in shared]
        if missing or not chosen:
            raise ValueError(
                f"the runs do not all log {missing or 'any metric'}; they share {shared or 'none'}. Is val_interval "
                "longer than the training?"
            )
        table = pd.concat([table[table["metric"] == metric] for metric in chosen])
        if self.other_budgets:
            return table
        # Up to the last step that all runs have reached: a longer run must not win by its length.
        common = table[table.groupby(["metric", "step"])["value"].transform("size") == count]
        last = table["metric"].map(common.groupby("metric")["step"].max()).fillna(math.inf)
        return table[table["step"] <= last]

    def report(self, metrics: Sequence[str] | None = None, folder: Path | None = None) -> str:
        """Write ``results.csv``, ``results.md`` and ``results.png`` and return the tables.

        ``results.csv`` keeps what it holds of other recipes and seeds: it is the table of all that was ever trained.

        Args:
            metrics: See :meth:`compared`.
            folder: Where to write. Defaults to the folder of the runs.

        Raises:
            ValueError: As :meth:`compared`.
        """
        folder = folder or self.folder
        folder.mkdir(parents=True, exist_ok=True)
        # The comparison is of finished seeds; the CSV gets every evaluation.
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
        """The budgets of the runs that are compared."""
        lines = []
        if not self.finished_seeds:
            lines.append("The runs have not finished; compared is the last step that they share.")
        ends = used.groupby("recipe", sort=False)["step"].max()
        for step in sorted(set(ends)):
            names = list(ends.index[ends == step])
            whose = "" if ends.nunique() == 1 else f" of {', '.join(names)}"
            config = self.configs[self.recipes[self.names.index(names[0])]]
            lines.append(f"Budget{whose}: {describe_budget(config, step)}.")
        return "\n".join(lines) + "\n"


def budget(config: Any) -> dict[str, Any]:
    """What must be equal for two runs to be equally long: iterations or epochs, batch size, steps of both networks."""
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
    """A budget as a report states it.

    Example:
        >>> describe_budget(dict(model=dict(discriminator=dict(type="D"), discriminator_steps=4)), 40_000)
        '40,000 steps (10,000 of the generator)'
    """
    of_generator, samples = generator_step(config, step), sample_count(config)
    text = f"{step:,} steps"
    text += "" if of_generator is None else f" ({of_generator:,} of the generator)"
    return text + ("" if samples is None else f", measured with {samples:,} samples")


def generator_step(config: Any, step: int) -> int | None:
    """Generator updates after so many iterations, which count discriminator steps; None without a GAN.

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
    """Samples that the metrics of a recipe generate; None if they generate none, or different numbers."""
    evaluator = config.get("val_evaluator") or []
    metrics = evaluator if isinstance(evaluator, (list, tuple)) else evaluator.get("metrics", [evaluator])
    counts = {metric["fake_nums"] for metric in metrics if "fake_nums" in metric}
    return counts.pop() if len(counts) == 1 else None
