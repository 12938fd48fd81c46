"""Recipes against each other over the same seeds and the same budget.

One run says little about a GAN: the spread over seeds is often larger than the effect. Recipes are therefore trained
with the same seeds, and compared seed by seed with the first of them, the baseline.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.run_results import (
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
        self.configs = {recipe: _resolved(recipe, cfg_options) for recipe in recipes}
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
        if jobs < 1:
            raise ValueError(f"jobs must be at least 1, but got {jobs}")
        self._refuse_other_settings()
        with ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(self._train_one, self.runs))
        return [run for run, succeeded in zip(self.runs, done) if not succeeded]

    def _train_one(self, run: Run) -> bool:
        marker = run.folder / "finished.json"
        if marker.is_file():
            return True
        run.folder.mkdir(parents=True, exist_ok=True)
        _write(run.folder / "started.json", dict(recipe=self._digest(run)))
        command = [
            *self.train_command,
            run.recipe,
            *("--work-dir", str(run.folder), "--seed", str(run.seed), "--resume"),
            *(("--cfg-options", *self.cfg_options) if self.cfg_options else ()),
        ]
        print(f"{run.name}, seed {run.seed}: training (output in {run.folder / 'output.txt'})", flush=True)
        with (run.folder / "output.txt").open("a") as output:
            status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        if status:
            end = "\n".join((run.folder / "output.txt").read_text(errors="replace").splitlines()[-5:])
            print(f"{run.name}, seed {run.seed}: ended with status {status}\n{end}", file=sys.stderr, flush=True)
            return False
        _write(marker, dict(recipe=self._digest(run), seed=run.seed))
        return True

    def _digest(self, run: Run) -> str:
        return hashlib.sha256(self.configs[run.recipe].pretty_text.encode()).hexdigest()

    def _refuse_other_settings(self) -> None:
        for run in self.runs:
            started = run.folder / "started.json"
            if started.is_file() and json.loads(started.read_text())["recipe"] != self._digest(run):
                raise ValueError(
                    f"{run.folder} holds a run of {run.name} with other settings; remove it, or choose another --out"
                )

    def curves(self) -> dict[Run, Curves]:
        """Evaluation results of every finished run."""
        return {run: read_curves(run.folder) for run in self.runs if (run.folder / "finished.json").is_file()}

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


def _resolved(recipe: str, cfg_options: Sequence[str]) -> Any:
    """A recipe with its overrides, as training will see it."""
    import argparse

    from mmengine.config import Config, DictAction

    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=DictAction)
    options = parser.parse_args(["--cfg-options", *cfg_options]).cfg_options if cfg_options else {}
    config = Config.fromfile(recipe, import_custom_modules=False)
    config.merge_from_dict(options)
    return config


def _write(path: Path, content: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content))
    os.replace(part, path)
