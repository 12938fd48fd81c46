"""Recipes against each other over the same seeds and the same budget.

One run says little about a GAN: the spread over seeds is often larger than the effect. Recipes are therefore trained
with the same seeds, and compared seed by seed with the first of them, the baseline.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.studies.run_results import (
    Curves,
    PairedDifference,
    Summary,
    markdown,
    paired_differences,
    plot,
    read_curves,
    summarise,
    write_csv,
)
from nda_mm.studies.training_jobs import Training, digest, is_finished, resolve, train_all

__all__ = ["Comparison", "Run", "budget"]


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

    Runs that have finished are kept; one that was cut off is resumed. A run whose recipe has changed since is refused.

    Args:
        recipes: Config files, the baseline first; their names must differ.
        seeds: The same for every recipe.
        folder: Gets ``RECIPE/seed_N`` for every run, and the report.
        train_command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        cfg_options: ``K=V`` words for every run.
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
        other_budgets: bool = False,
    ) -> None:
        names = [Path(recipe).stem for recipe in recipes]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"recipes must have different file names, as their results bear them, but got {names}")
        if len(set(seeds)) != len(seeds) or not seeds:
            raise ValueError(f"seeds must be given and differ, but got {list(seeds)}")
        self.recipes, self.seeds, self.folder = list(recipes), list(seeds), folder
        self.train_command, self.cfg_options = list(train_command), list(cfg_options)
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

        Returns:
            The runs that failed; the others were still trained.

        Raises:
            ValueError: if the folder holds runs of these names with other settings.
        """
        trainings = {run.folder: self._training(run) for run in self.runs}
        failed = train_all(list(trainings.values()), self.train_command, jobs)
        return [run for run in self.runs if trainings[run.folder] in failed]

    def _training(self, run: Run) -> Training:
        settings = dict(recipe=digest(self.configs[run.recipe]))
        return Training(run.recipe, run.seed, run.folder, run.name, settings, tuple(self.cfg_options))

    def curves(self) -> dict[Run, Curves]:
        """Evaluation results of every finished run."""
        return {run: read_curves(run.folder) for run in self.runs if is_finished(run.folder)}

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``results.csv``, ``results.md`` and ``results.png`` and return the table.

        Args:
            metrics: Those to report. Default None: all that every finished run has.

        Raises:
            ValueError: if no seed is finished for all recipes, or they share no metric.
        """
        curves = self.curves()
        finished = {(run.recipe, run.seed) for run in curves}
        seeds = [seed for seed in self.seeds if all((recipe, seed) in finished for recipe in self.recipes)]
        if not seeds:
            raise ValueError(f"no seed has finished runs of all recipes in {self.folder}; there is nothing to compare")
        used = {run: curve for run, curve in curves.items() if run.seed in seeds}
        shared = [name for name in next(iter(used.values())) if all(name in curve for curve in used.values())]
        chosen = shared if metrics is None else list(metrics)
        missing = [name for name in chosen if name not in shared]
        if missing or not chosen:
            raise ValueError(
                f"the runs do not all log {missing or 'any metric'}; they share {shared or 'none'}. Does the recipe "
                "have val_cfg, val_dataloader and val_evaluator, and val_interval at most its length?"
            )
        summaries, differences = self._statistics(used, seeds, chosen)
        write_csv(self.folder / "results.csv", used, chosen)
        text = markdown(summaries, differences, seeds)
        (self.folder / "results.md").write_text(text)
        plot(self.folder / "results.png", used, chosen)
        return text

    def _statistics(
        self, used: Mapping[Run, Curves], seeds: Sequence[int], metrics: Iterable[str]
    ) -> tuple[list[Summary], list[PairedDifference]]:
        final = {(run.name, run.seed): curves for run, curves in used.items()}
        names = [Path(recipe).stem for recipe in self.recipes]
        summaries, differences = [], []
        for metric in metrics:
            rows = [summarise(name, metric, [final[name, seed][metric][-1][1] for seed in seeds]) for name in names]
            summaries += rows
            differences += [paired_differences(row, rows[0]) for row in rows[1:]]
        return summaries, differences


def budget(config: Any) -> dict[str, Any]:
    """What makes two runs equally long: iterations or epochs, batch size, steps of the two networks."""
    train, model = config.get("train_cfg") or {}, config.get("model") or {}
    loader = config.get("train_dataloader") or {}
    return dict(
        max_iters=train.get("max_iters"),
        max_epochs=train.get("max_epochs"),
        batch_size=loader.get("batch_size"),
        discriminator_steps=model.get("discriminator_steps"),
        generator_steps=model.get("generator_steps"),
    )
