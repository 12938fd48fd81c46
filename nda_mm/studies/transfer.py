"""Pretraining recipes compared by the downstream results of their backbones, over the same seeds.

Every recipe is pretrained with every seed; each backbone then goes to every downstream recipe, which is trained with
the same seed. So differences are taken seed by seed, and the spread holds both trainings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from nda_mm.checkpoints import read_checkpoint
from nda_mm.conversion import convert_backbone, find_backbone
from nda_mm.conversion.checks import write_untrained
from nda_mm.conversion.formats import weights_of
from nda_mm.engine.resume import find_resumable
from nda_mm.studies.comparison import Comparison, Run
from nda_mm.studies.jobs import Training, course, is_finished, length, resolve, run_all, unique_names
from nda_mm.studies.table import paired_tables, read_evaluations

NO_PRETRAINING = "no_pretraining"
_EXPLANATION = (
    "Each downstream recipe was trained on each backbone, with the seed of its pretraining. "
    "Differences are taken seed by seed."
)

#: Hooks that stop a training whose checkpoint does not fit.
_CHECKS = ("nda_mm.PretrainedCheckHook", "nda_mm.VideoBackboneCheckHook")
#: Scope of a config, or of a backbone's type -> the host whose names its backbones have.
_HOSTS = {"mmpretrain": "mmpretrain", "mmdet": "mmdet", "mmaction": "mmaction2"}


@dataclass(frozen=True)
class BackboneSlot:
    """Where a recipe takes a pretrained backbone.

    Args:
        host: Whose names the file must have; None if the checkpoint of the pretraining itself is taken.
        with_file: ``K=V`` words with ``{file}`` for the file.
        without: ``K=V`` words that take away any file that the recipe names by itself.
        required: Whether the recipe refuses to train without a file.
        whole: Whether it takes all of the checkpoint's model and not its backbone alone, as ``nda_mm.DPCEncoder`` does.

    Example:
        >>> BackboneSlot(None, ("model.backbone.init_cfg.checkpoint={file}",), (), True).options(Path("a/b.pth"))
        ('model.backbone.init_cfg.checkpoint=a/b.pth',)
    """

    host: str | None
    with_file: tuple[str, ...]
    without: tuple[str, ...]
    required: bool
    whole: bool = False

    def options(self, file: Path | None) -> tuple[str, ...]:
        """The ``K=V`` words that give the recipe a file, or none."""
        return self.without if file is None else tuple(each.format(file=file) for each in self.with_file)


def find_slot(config: Any, recipe: str) -> BackboneSlot:
    """Read from a config how its backbone is pretrained, as the recipes' header comments say it.

    Args:
        config: A resolved config of mmpretrain, mmdet or mmaction2.
        recipe: What to call it in messages.

    Raises:
        ValueError: If it takes no backbone, or nothing in the recipe would notice a file that does not fit.
    """
    # It must be a recipe of a host with a backbone, and notice a checkpoint that does not fit.
    scope, backbone = config.get("default_scope"), (config.get("model") or {}).get("backbone")
    if scope not in _HOSTS or backbone is None:
        raise ValueError(f"{recipe} (scope {scope!r}) takes no pretrained backbone; scopes are {', '.join(_HOSTS)}")
    hooks = [hook for hook in config.get("custom_hooks") or [] if hook.get("type") in _CHECKS]
    if not hooks:
        raise ValueError(
            f"{recipe} would train on random weights if a checkpoint did not fit; add "
            f"dict(type='{_CHECKS[scope == 'mmaction']}') to its custom_hooks"
        )
    required = any(hook.get("required", False) for hook in hooks)
    # The ways of mmpretrain's classifiers, and of mmaction2's 2-D networks.
    if scope == "mmpretrain":
        return _classifier_slot(backbone, recipe)
    path, network = ("model.backbone.net", backbone["net"]) if "net" in backbone else ("model.backbone", backbone)
    if "pretrained" in network:  # mmaction2's own way, which reads plain names and inflates them
        without = (f"{path}.pretrained=None", *((f"{path}.pretrained2d=False",) if "TSM" in network["type"] else ()))
        return BackboneSlot("mmpretrain", (f"{path}.pretrained={{file}}",), without, required)
    # All others load it by `init_cfg`.
    parts = {path: network}
    shared_head = (config.model.get("roi_head") or {}).get("shared_head")
    if shared_head is not None:  # takes its stage from the same file
        parts["model.roi_head.shared_head"] = shared_head
    with_file: list[str] = []
    without = ()
    for part, settings in parts.items():
        init_cfg = settings.get("init_cfg", {})
        if not isinstance(init_cfg, dict) or init_cfg.get("prefix"):
            raise ValueError(
                f"{recipe}: {part}.init_cfg must be absent or dict(type='Pretrained', ...), but is {init_cfg!r}"
            )
        with_file += [f"{part}.init_cfg.type=Pretrained", f"{part}.init_cfg.checkpoint={{file}}"]
        without += (f"{part}.init_cfg=None",) if init_cfg else ()
    # A backbone from scratch has no pretrained weights to spare by a lower rate.
    paramwise = (config.get("optim_wrapper") or {}).get("paramwise_cfg") or {}
    if "lr_mult" in ((paramwise.get("custom_keys") or {}).get("backbone") or {}):
        without += ("optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0",)
    if network["type"] == "nda_mm.DPCEncoder":  # has the names of the pretraining
        return BackboneSlot(None, tuple(with_file), without, required, whole=True)
    inner = str(network["type"]).split(".")[0]
    return BackboneSlot(_HOSTS.get(inner, _HOSTS[scope]), tuple(with_file), without, required)


def _classifier_slot(backbone: Any, recipe: str) -> BackboneSlot:
    """mmpretrain's classifiers find the backbone in the checkpoint by its prefix."""
    init_cfg = backbone.get("init_cfg")
    if not isinstance(init_cfg, dict) or init_cfg.get("type") != "Pretrained" or init_cfg.get("prefix") != "backbone.":
        raise ValueError(
            f"{recipe} takes no pretrained backbone: model.backbone.init_cfg must be "
            f"dict(type='Pretrained', checkpoint='', prefix='backbone.'), but is {init_cfg!r}"
        )
    # Without pretraining it gets a file of random weights: the recipes require one.
    return BackboneSlot(None, ("model.backbone.init_cfg.checkpoint={file}",), (), True)


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
        # Folders of other settings are found before hours of pretraining.
        for run in self.runs:
            self._training(run).check_folder()
        failed = self.pretraining.train(jobs)
        self.failures = [f"{run.label}: see {run.folder / 'output.txt'}" for run in failed]
        # Each downstream run gets the backbone of its arm and seed.
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
        # The checkpoint of the pretraining, or one of random weights.
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
        # The digest shows a backbone that was trained again.
        checkpoint = read_checkpoint(source, needed=())
        weights = (
            weights_of(checkpoint, str(source)) if slot.whole else find_backbone(checkpoint, where=str(source)).weights
        )
        found = hashlib.sha256()
        for name, value in sorted(weights.items()):
            found.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        # A recipe of another host takes its own names.
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
        # What failed or was not measured comes first.
        seeds, trained = self.pretraining.seeds, self.pretraining.names
        parts = ["# Transfer", _EXPLANATION]
        if self.failures:
            parts.append("Failed:\n\n" + "\n".join(f"- {each}" for each in self.failures))
        absent = [metric for metric in metrics or () if metric not in set(table["metric"])]
        if absent:
            parts.append(f"No run has measured {', '.join(absent)}.")
        # A section for the pretrainings, and one for each downstream recipe.
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
