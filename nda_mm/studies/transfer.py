"""Pretraining recipes compared by the downstream results of their backbones, over the same seeds.

Every recipe is pretrained with every seed; each backbone then goes to every downstream recipe, which is trained with
the same seed. So differences are taken seed by seed, and the spread holds both trainings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from nda_mm.checkpoints import read_checkpoint
from nda_mm.conversion import convert_backbone, find_backbone
from nda_mm.conversion.checks import write_untrained
from nda_mm.conversion.formats import weights_of
from nda_mm.engine.resume import find_resumable
from nda_mm.studies.backbone_slots import find_slot
from nda_mm.studies.comparison import Comparison, Run
from nda_mm.studies.configs import course, length, resolve, unique_names
from nda_mm.studies.jobs import Training, is_finished, run_all
from nda_mm.studies.table import paired_tables, read_evaluations

__all__ = ["NO_PRETRAINING", "DownstreamRun", "TransferStudy"]

NO_PRETRAINING = "no_pretraining"
_EXPLANATION = (
    "Each downstream recipe was trained on each backbone, with the seed of its pretraining. "
    "Differences are taken seed by seed."
)


@dataclass(frozen=True)
class DownstreamRun(Run):
    """A downstream recipe on the backbone of one arm and seed."""

    arm: str

    @property
    def label(self) -> str:
        """What it is, in words."""
        return f"{self.name} after {self.arm}, seed {self.seed}"


class TransferStudy:
    """Pretrains, trains the downstream recipes on the backbones, and reports.

    Finished runs are kept and interrupted ones resumed, also those that ``tools/compare.py`` has trained into
    ``FOLDER/pretrain``. A run whose recipe, or whose backbone, has changed since is refused.

    Args:
        pretraining: Config files of self-supervised models, the plain one first.
        downstream: Config files of mmpretrain's classifiers, mmdet's detectors, mmaction2's recognizers.
        seeds: The same for every recipe.
        folder: Gets ``pretrain/RECIPE/seed_N``, ``backbones``, ``downstream/RECIPE/ARM/seed_N`` and the report.
        train_command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        scratch: Whether to add, as the first, an arm without pretraining. A recipe that requires a checkpoint gets
            one of the untrained model of the first pretraining recipe, with that seed: a linear probe then measures
            random features. Others are trained without one. Defaults to False.
        pretraining_options: ``K=V`` words for every pretraining.
        downstream_options: ``K=V`` words for every downstream training.

    Raises:
        ValueError: If names or seeds repeat, budgets of pretrainings differ, there is nothing downstream, or a
            recipe takes no backbone.
    """

    def __init__(
        self,
        pretraining: Sequence[str],
        downstream: Sequence[str],
        seeds: Sequence[int],
        folder: Path,
        *,
        train_command: Sequence[str],
        scratch: bool = False,
        pretraining_options: Sequence[str] = (),
        downstream_options: Sequence[str] = (),
    ) -> None:
        self.pretraining = Comparison(
            pretraining, seeds, folder / "pretrain", train_command=train_command, cfg_options=pretraining_options
        )
        unique_names(downstream)
        if NO_PRETRAINING in self.pretraining.names:
            raise ValueError(f"a pretraining recipe can't be called {NO_PRETRAINING}: that is the name of an arm")
        self.downstream, self.folder, self.options = list(downstream), folder, list(downstream_options)
        self.arms = [*([NO_PRETRAINING] if scratch else []), *self.pretraining.names]
        self.configs = {recipe: resolve(recipe, downstream_options) for recipe in downstream}
        self.slots = {recipe: find_slot(config, recipe) for recipe, config in self.configs.items()}
        self.failures: list[str] = []

    @property
    def runs(self) -> list[DownstreamRun]:
        """All downstream runs; seed by seed, so that an unfinished study has whole pairs."""
        return [
            DownstreamRun(recipe, seed, self.folder / "downstream" / Path(recipe).stem / arm / f"seed_{seed}", arm)
            for seed in self.pretraining.seeds
            for recipe in self.downstream
            for arm in self.arms
        ]

    def train(self, jobs: int = 1) -> list[str]:
        """Train what is not finished, ``jobs`` runs at a time: first all pretrainings, then all else.

        Returns:
            A message for each failure; the others were still trained.

        Raises:
            ValueError: If the folder holds runs of these names with other settings or backbones, or jobs is below 1.
        """
        for run in self.runs:
            self._training(run).check_folder()  # before hours of pretraining
        failed = self.pretraining.train(jobs)
        self.failures = [f"{run.label}: see {run.folder / 'output.txt'}" for run in failed]
        trainings = []
        for run in self.runs:
            if (run.arm, run.seed) in {(other.name, other.seed) for other in failed}:
                self.failures.append(f"{run.label}: not started, as its pretraining failed")
                continue
            try:
                trainings.append(self._training(run, *self.backbone(run)))
            except (OSError, ValueError) as error:
                self.failures.append(f"{run.label}: not started: {error}")
        for training in trainings:
            training.check_folder()
        broken = run_all(trainings, self.pretraining.train_command, jobs)
        self.failures += [f"{each.label}: see {each.log}" for each in broken]
        return self.failures

    def backbone(self, run: DownstreamRun) -> tuple[Path | None, str]:
        """The file that a run is given, written if need be, and a digest of its weights.

        Args:
            run: One whose pretraining has finished.

        Returns:
            The file, or None and 'none' for a run that starts from scratch.
        """
        slot, files = self.slots[run.recipe], (self.folder / "backbones").resolve()
        if run.arm != NO_PRETRAINING:
            folder = self.pretraining.folder / run.arm / f"seed_{run.seed}"
            newest = find_resumable(folder)
            if newest is None:
                raise ValueError(f"{folder} has finished, but holds no checkpoint; remove it to train again")
            source = Path(newest).resolve()
        elif slot.required:
            files.mkdir(parents=True, exist_ok=True)
            source = files / f"{NO_PRETRAINING}_seed_{run.seed}.pth"
            write_untrained(self.pretraining.configs[self.pretraining.recipes[0]], run.seed, source)
        else:
            return None, "none"
        checkpoint = read_checkpoint(source, needed=())
        weights = (
            weights_of(checkpoint, str(source)) if slot.whole else find_backbone(checkpoint, where=str(source)).weights
        )
        found = hashlib.sha256()
        for name, value in sorted(weights.items()):
            found.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        if slot.host is not None:
            file = files / slot.host / f"{run.arm}_seed_{run.seed}.pth"
            file.parent.mkdir(parents=True, exist_ok=True)
            convert_backbone(source, file, slot.host)
            source = file
        return source, found.hexdigest()

    def table(self) -> pd.DataFrame:
        """Every evaluation of every finished run: ``recipe``, ``arm``, ``seed``, ``metric``, ``step``, ``value``."""
        columns = ["recipe", "arm", "seed", "metric", "step", "value"]
        tables = [pd.DataFrame(columns=columns)]
        unfinished = self.pretraining.unfinished
        for run in (run for run in self.pretraining.runs if run not in unfinished):
            found = read_evaluations(run.folder)
            if found.empty:  # without an evaluation, the log of the training
                found = read_evaluations(run.folder, training=True)
            tables.append(found.assign(recipe="pretraining", arm=run.name, seed=run.seed))
        for trained in (run for run in self.runs if is_finished(run.folder, length(self.configs[run.recipe]))):
            found = read_evaluations(trained.folder)
            tables.append(found.assign(recipe=trained.name, arm=trained.arm, seed=trained.seed))
        return pd.concat([each for each in tables if len(each)] or tables, ignore_index=True)[columns]

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``results.csv`` and ``results.md`` from the finished runs, and return the text of the second.

        Args:
            metrics: Those of the downstream recipes to report. Defaults to all that any run of a recipe has.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self.table()
        table.to_csv(self.folder / "results.csv", index=False, lineterminator="\n")
        seeds, trained = self.pretraining.seeds, self.pretraining.names
        parts = ["# Transfer", _EXPLANATION]
        if self.failures:
            parts.append("Failed:\n\n" + "\n".join(f"- {each}" for each in self.failures))
        absent = [metric for metric in metrics or () if metric not in set(table["metric"])]
        if absent:
            parts.append(f"No run has measured {', '.join(absent)}.")
        parts += ["## Pretraining", compare_arms(table[table["recipe"] == "pretraining"], trained, seeds)]
        for recipe in self.downstream:
            name, baselines = Path(recipe).stem, list(dict.fromkeys([self.arms[0], trained[0]]))
            rows = table[table["recipe"] == name]
            chosen = rows if metrics is None else rows[rows["metric"].isin(metrics)]
            parts.append(f"## {name}")
            if NO_PRETRAINING in self.arms:
                random = f"random weights, those of {trained[0]}'s model before its first step"
                scratch = "trained from scratch, without a checkpoint, all layers at the full rate"
                parts.append(f"{NO_PRETRAINING}: {random if self.slots[recipe].required else scratch}.")
            parts.append(compare_arms(chosen, self.arms, seeds, baselines))
        text = "\n\n".join(part.strip() for part in parts) + "\n"
        (self.folder / "results.md").write_text(text)
        return text

    def _training(self, run: DownstreamRun, file: Path | None = None, weights: str | None = None) -> Training:
        config = self.configs[run.recipe]
        settings = dict(course=course(config)) | ({} if weights is None else dict(weights=weights))
        options = (*self.options, *self.slots[run.recipe].options(file))
        return Training(run.recipe, run.folder, run.label, settings, options, run.seed, length(config))


def compare_arms(table: pd.DataFrame, arms: Sequence[str], seeds: Sequence[int], baselines: Sequence[str] = ()) -> str:
    """Tables of one task, in Markdown.

    A value is final if it was measured at the last step at which any run has that metric; an earlier one does not
    stand in for it.
    """
    if table.empty:
        return "No run has measured anything."
    final = table[table["step"] == table.groupby("metric")["step"].transform("max")]
    return paired_tables(final.assign(recipe=final["arm"]), arms, seeds, baselines)
