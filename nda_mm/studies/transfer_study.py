"""Pretraining recipes judged by what their backbones are worth to other tasks, over the same seeds.

Every recipe is pretrained with every seed; each backbone then goes to every downstream recipe, which is trained with
the same seed. So differences are taken seed by seed, and the spread holds both trainings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nda_mm.studies.comparison import Comparison
from nda_mm.studies.pretrained_place import PretrainedPlace, find_place
from nda_mm.studies.run_results import read_curves
from nda_mm.studies.training_jobs import (
    Training,
    digest,
    is_finished,
    output_of,
    refuse_other_settings,
    resolve,
    train_all,
)
from nda_mm.studies.transfer_report import Outcome, report_outcomes, write_outcomes

__all__ = ["NO_PRETRAINING", "DownstreamRun", "TransferStudy"]

NO_PRETRAINING = "no_pretraining"


@dataclass(frozen=True)
class DownstreamRun:
    """A downstream recipe on the backbone of one arm and seed."""

    recipe: str
    arm: str
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """The recipe's name."""
        return Path(self.recipe).stem


class TransferStudy:
    """Pretrains, hands the backbones on, trains the downstream recipes, and reports.

    Runs that have finished are kept and cut off ones resumed, also those that ``tools/compare.py`` has trained into
    ``FOLDER/pretrain``. A run whose recipe, or whose backbone, has changed since is refused.

    Args:
        pretraining: Config files of self-supervised models, the plain one first.
        downstream: Config files of mmpretrain's classifiers, mmdet's detectors, mmaction2's recognisers.
        seeds: The same for every recipe.
        folder: Gets ``pretrain/RECIPE/seed_N``, ``backbones``, ``downstream/RECIPE/ARM/seed_N`` and the report.
        train_command: Words that start the training of a config, for example ``[python, 'tools/train.py']``.
        scratch: Whether to add, as the first, an arm without pretraining. A recipe that requires a checkpoint gets
            one of the untrained model of the first pretraining recipe, with that seed: a linear probe then judges
            random features. Others are trained without one. Defaults to False.
        pretraining_options: ``K=V`` words for every pretraining.
        downstream_options: ``K=V`` words for every downstream training.

    Raises:
        ValueError: If names or seeds repeat, budgets of pretrainings differ, there is nothing downstream, or a
            recipe has no place for a backbone.
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
        names = [Path(recipe).stem for recipe in downstream]
        if len(set(names)) != len(names) or not names:
            raise ValueError(f"downstream recipes must be given and have different file names, but got {names}")
        self.downstream, self.folder, self.options = list(downstream), folder, list(downstream_options)
        self.recipe_of = {Path(recipe).stem: recipe for recipe in pretraining}
        if NO_PRETRAINING in self.recipe_of:
            raise ValueError(f"a pretraining recipe can't be called {NO_PRETRAINING}, as an arm bears that name")
        self.arms = [*([NO_PRETRAINING] if scratch else []), *self.recipe_of]
        configs = {recipe: resolve(recipe, downstream_options) for recipe in downstream}
        self.digests = {recipe: digest(config) for recipe, config in configs.items()}
        self.places: dict[str, PretrainedPlace] = {r: find_place(config, r) for r, config in configs.items()}
        self.failures: list[str] = []

    @property
    def runs(self) -> list[DownstreamRun]:
        """All downstream runs; seed by seed, so that an unfinished study has whole pairs."""
        return [
            DownstreamRun(recipe, arm, seed, self.folder / "downstream" / Path(recipe).stem / arm / f"seed_{seed}")
            for seed in self.pretraining.seeds
            for recipe in self.downstream
            for arm in self.arms
        ]

    def train(self, jobs: int = 1) -> list[str]:
        """Train what is not finished, ``jobs`` runs at a time: first all pretrainings, then all else.

        Returns:
            What failed, in words; the others were still trained.

        Raises:
            ValueError: If the folder holds runs of these names with other settings or backbones, or jobs is below 1.
        """
        refuse_other_settings([self._training(run) for run in self.runs])  # before hours of pretraining
        failed = self.pretraining.train(jobs)
        self.failures = [f"{run.name}, seed {run.seed}: see {output_of(run.folder)}" for run in failed]
        trainings = []
        for run in self.runs:
            if any((run.arm, run.seed) == (other.name, other.seed) for other in failed):
                self.failures.append(
                    f"{run.name} after {run.arm}, seed {run.seed}: not started, as its pretraining failed"
                )
                continue
            try:
                trainings.append(self._training(run, *self.backbone(run)))
            except (OSError, ValueError) as error:
                self.failures.append(f"{run.name} after {run.arm}, seed {run.seed}: not started: {error}")
        broken = train_all(trainings, self.pretraining.train_command, jobs, variables={"OMP_NUM_THREADS": "1"})
        self.failures += [f"{each.label}, seed {each.seed}: see {output_of(each.folder)}" for each in broken]
        return self.failures

    def backbone(self, run: DownstreamRun) -> tuple[Path | None, str]:
        """The file that a run is given, written if need be, and a digest of its weights.

        Args:
            run: One whose pretraining has finished.

        Returns:
            The file, or None and 'none' for a run that starts from scratch.
        """
        import torch

        from nda_mm.checkpoints import read_checkpoint
        from nda_mm.conversion import convert_backbone, find_backbone
        from nda_mm.conversion.formats import weights_of
        from nda_mm.engine.resume import find_resumable

        place = self.places[run.recipe]
        if run.arm == NO_PRETRAINING:
            if not place.required:
                return None, "none"
            source = self._untrained(run.seed)
        else:
            folder = self.pretraining.folder / run.arm / f"seed_{run.seed}"
            newest = find_resumable(folder)
            if newest is None:
                raise ValueError(f"{folder} has finished, but holds no checkpoint; remove it to train again")
            source = Path(newest).resolve()
        checkpoint = read_checkpoint(source, needed=())
        weights = (
            weights_of(checkpoint, str(source)) if place.whole else find_backbone(checkpoint, where=str(source)).weights
        )
        found = hashlib.sha256()
        for name, value in sorted(weights.items()):
            found.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        if place.host is not None:
            file = self._backbones / place.host / f"{run.arm}_seed_{run.seed}.pth"
            file.parent.mkdir(parents=True, exist_ok=True)
            convert_backbone(source, file, place.host)
            source = file
        return source, found.hexdigest()

    @property
    def _backbones(self) -> Path:
        return (self.folder / "backbones").resolve()

    def _untrained(self, seed: int) -> Path:
        """Checkpoint of the first pretraining recipe's model as it is before the first step."""
        from nda_mm.conversion.checks import write_untrained

        file = self._backbones / f"{NO_PRETRAINING}_seed_{seed}.pth"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_untrained(self.pretraining.configs[self.pretraining.recipes[0]], seed, file)
        return file

    def _training(self, run: DownstreamRun, file: Path | None = None, weights: str | None = None) -> Training:
        settings = dict(recipe=self.digests[run.recipe])
        if weights is not None:
            settings["weights"] = weights
        options = (*self.options, *self.places[run.recipe].options(file))
        return Training(run.recipe, run.seed, run.folder, f"{run.name} after {run.arm}", settings, options)

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``results.csv`` and ``results.md`` from the finished runs, and return the text of the second.

        Args:
            metrics: Those of the downstream recipes to report. Default None: all that any run of a recipe has.
        """
        outcomes = [  # of a pretraining without an evaluation, what it has logged of its training
            Outcome("pretraining", run.name, run.seed, curves or read_curves(run.folder, training=True))
            for run, curves in self.pretraining.curves().items()
        ]
        done = {run: read_curves(run.folder) for run in self.runs if is_finished(run.folder)}
        outcomes += [Outcome(run.name, run.arm, run.seed, curves) for run, curves in done.items()]
        write_outcomes(self.folder / "results.csv", outcomes)
        seeds, trained = self.pretraining.seeds, list(self.recipe_of)
        parts = ["# Transfer", self._explanation()]
        if self.failures:
            parts.append("Failed:\n\n" + "\n".join(f"- {each}" for each in self.failures))
        absent = [metric for metric in metrics or () if not any(metric in outcome.curves for outcome in outcomes)]
        if absent:
            parts.append(f"No run has measured {', '.join(absent)}.")
        parts += ["## Pretraining", report_outcomes([o for o in outcomes if o.task == "pretraining"], trained, seeds)]
        for recipe in self.downstream:
            name = Path(recipe).stem
            chosen = [outcome for outcome in outcomes if outcome.task == name]
            baselines = list(dict.fromkeys([self.arms[0], trained[0]]))
            parts += [f"## {name}", report_outcomes(chosen, self.arms, seeds, baselines, metrics)]
        text = "\n\n".join(part.strip() for part in parts) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "results.md").write_text(text)
        return text

    def _explanation(self) -> str:
        text = (
            "Each backbone was pretrained with a seed and handed to the downstream recipes, trained with the same "
            "seed. Differences are taken seed by seed."
        )
        if NO_PRETRAINING not in self.arms:
            return text
        files = ", ".join(Path(recipe).stem for recipe in self.downstream if self.places[recipe].required)
        others = ", ".join(Path(recipe).stem for recipe in self.downstream if not self.places[recipe].required)
        first = Path(self.pretraining.recipes[0]).stem
        text += f" The arm {NO_PRETRAINING} means:"
        if files:
            text += (
                f"\n\n- {files}: the random weights of {first}'s model before its first step, in place of trained ones"
            )
        if others:
            text += f"\n\n- {others}: trained from scratch, without a checkpoint, all layers at the full rate"
        return text.replace("ones\n\n-", "ones\n-")
