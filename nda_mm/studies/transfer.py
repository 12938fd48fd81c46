"""Compare pretraining recipes by the downstream results of their backbones, over the same seeds.

Every recipe is pretrained with every seed. Each backbone is then used by every downstream recipe, which is trained with
the same seed. Differences are therefore paired by seed, and the spread covers both trainings.
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
    "Each downstream recipe was trained on each backbone, with the same seed as the pretraining. "
    "Differences are paired by seed."
)

#: Hooks that stop a training if its checkpoint does not fit.
_CHECKS = ("nda_mm.PretrainedCheckHook", "nda_mm.VideoBackboneCheckHook")
#: Scope of a config or of a backbone's type -> host whose naming of the weights its backbones use.
_HOSTS = {"mmpretrain": "mmpretrain", "mmdet": "mmdet", "mmaction": "mmaction2"}


@dataclass(frozen=True)
class BackboneSlot:
    """The place in a recipe where a pretrained backbone is set.

    Args:
        host: Host whose naming of the weights the file must use, or None to use the pretraining checkpoint unchanged.
        with_file: ``K=V`` overrides that set the file, with the placeholder ``{file}``.
        without: ``K=V`` overrides that remove any file set in the recipe.
        required: Whether the recipe needs a file to train.
        whole: Whether the recipe loads the whole model of the checkpoint and not only its backbone, as
            ``nda_mm.DPCEncoder`` does. Defaults to False.

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
        """Return the ``K=V`` overrides that set a file, or remove it if ``file`` is None."""
        return self.without if file is None else tuple(each.format(file=file) for each in self.with_file)


def find_slot(config: Any, recipe: str) -> BackboneSlot:
    """Find where a config takes a pretrained backbone, as described in the header comments of the recipes.

    Args:
        config: A resolved config of mmpretrain, mmdet or mmaction2.
        recipe: Name of the recipe, for messages.

    Raises:
        ValueError: If the recipe takes no backbone, or would not notice a file that does not fit.
    """
    # Check that the recipe has a backbone, and a hook that notices a checkpoint that does not fit.
    scope, backbone = config.get("default_scope"), (config.get("model") or {}).get("backbone")
    if scope not in _HOSTS or backbone is None:
        raise ValueError(f"{recipe} (scope {scope!r}) takes no pretrained backbone; use one of {', '.join(_HOSTS)}")
    hooks = [hook for hook in config.get("custom_hooks") or [] if hook.get("type") in _CHECKS]
    if not hooks:
        raise ValueError(
            f"{recipe} would train on random weights if a checkpoint did not fit; add "
            f"dict(type='{_CHECKS[scope == 'mmaction']}') to its custom_hooks"
        )
    required = any(hook.get("required", False) for hook in hooks)
    # mmpretrain's classifiers and mmaction2's 2-D networks have their own ways to load a backbone.
    if scope == "mmpretrain":
        return _classifier_slot(backbone, recipe)
    path, network = ("model.backbone.net", backbone["net"]) if "net" in backbone else ("model.backbone", backbone)
    if "pretrained" in network:  # mmaction2's own setting, which reads plain names and inflates the weights
        without = (f"{path}.pretrained=None", *((f"{path}.pretrained2d=False",) if "TSM" in network["type"] else ()))
        return BackboneSlot("mmpretrain", (f"{path}.pretrained={{file}}",), without, required)
    # All others load it with `init_cfg`.
    parts = {path: network}
    shared_head = (config.model.get("roi_head") or {}).get("shared_head")
    if shared_head is not None:  # loads its stage from the same file
        parts["model.roi_head.shared_head"] = shared_head
    with_file: list[str] = []
    without = ()
    for part, settings in parts.items():
        init_cfg = settings.get("init_cfg", {})
        if not isinstance(init_cfg, dict) or init_cfg.get("prefix"):
            raise ValueError(
                f"{recipe}: {part}.init_cfg must be absent or dict(type='Pretrained', ...), but got {init_cfg!r}"
            )
        with_file += [f"{part}.init_cfg.type=Pretrained", f"{part}.init_cfg.checkpoint={{file}}"]
        without += (f"{part}.init_cfg=None",) if init_cfg else ()
    # A lower learning rate protects pretrained weights; a backbone from scratch has none.
    paramwise = (config.get("optim_wrapper") or {}).get("paramwise_cfg") or {}
    if "lr_mult" in ((paramwise.get("custom_keys") or {}).get("backbone") or {}):
        without += ("optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=1.0",)
    if network["type"] == "nda_mm.DPCEncoder":  # uses the names of the pretraining
        return BackboneSlot(None, tuple(with_file), without, required, whole=True)
    inner = str(network["type"]).split(".")[0]
    return BackboneSlot(_HOSTS.get(inner, _HOSTS[scope]), tuple(with_file), without, required)


def _classifier_slot(backbone: Any, recipe: str) -> BackboneSlot:
    """Find the slot of an mmpretrain classifier, which finds the backbone in the checkpoint by its prefix."""
    init_cfg = backbone.get("init_cfg")
    if not isinstance(init_cfg, dict) or init_cfg.get("type") != "Pretrained" or init_cfg.get("prefix") != "backbone.":
        raise ValueError(
            f"{recipe} takes no pretrained backbone: model.backbone.init_cfg must be "
            f"dict(type='Pretrained', checkpoint='', prefix='backbone.'), but got {init_cfg!r}"
        )
    # The recipes require a file, so without pretraining they get one with random weights.
    return BackboneSlot(None, ("model.backbone.init_cfg.checkpoint={file}",), (), True)


@dataclass(frozen=True)
class DownstreamRun(Run):
    """A downstream recipe trained on the backbone of one arm and seed."""

    arm: str

    @property
    def label(self) -> str:
        """Name, arm and seed, for messages."""
        return f"{self.name} after {self.arm}, seed {self.seed}"


class TransferStudy:
    """Runs pretrainings, trains the downstream recipes on the backbones, and reports the results.

    Finished runs are kept and interrupted runs resumed, including those that ``tools/compare.py`` has written to
    ``FOLDER/pretrain``. An error is raised if the recipe or the backbone of a run has changed.

    Args:
        pretraining: Config files of self-supervised models, the plain recipe first.
        downstream: Config files of mmpretrain classifiers, mmdet detectors or mmaction2 recognizers.
        seeds: Seeds to train every recipe with.
        folder: Folder for the runs, in ``pretrain/RECIPE/seed_N`` and ``downstream/RECIPE/ARM/seed_N``, for
            ``backbones`` and for the report.
        train_command: Command that trains a config, for example ``[python, 'tools/train.py']``.
        scratch: Whether to add an arm without pretraining, as the first one. A recipe that requires a checkpoint gets
            the untrained model of the first pretraining recipe with the same seed, so a linear probe then measures
            random features. Other recipes are trained without a checkpoint. Defaults to False.
        pretraining_options: ``K=V`` overrides for every pretraining. Defaults to none.
        downstream_options: ``K=V`` overrides for every downstream training. Defaults to none.

    Raises:
        ValueError: If names or seeds repeat, the budgets of the pretrainings differ, there is no downstream recipe, or
            a recipe takes no backbone.
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
            raise ValueError(f"pretraining must not contain a recipe called {NO_PRETRAINING}: an arm has that name")
        self.downstream, self.folder, self.options = list(downstream), folder, list(downstream_options)
        self.arms = [*([NO_PRETRAINING] if scratch else []), *self.pretraining.names]
        self.configs = {recipe: resolve(recipe, downstream_options) for recipe in downstream}
        self.slots = {recipe: find_slot(config, recipe) for recipe, config in self.configs.items()}
        self.failures: list[str] = []

    @property
    def runs(self) -> list[DownstreamRun]:
        """All downstream runs, seed by seed, so that an unfinished study has complete pairs."""
        return [
            DownstreamRun(recipe, seed, self.folder / "downstream" / Path(recipe).stem / arm / f"seed_{seed}", arm)
            for seed in self.pretraining.seeds
            for recipe in self.downstream
            for arm in self.arms
        ]

    def train(self, jobs: int = 1) -> list[str]:
        """Train all runs that have not finished, ``jobs`` at a time: first the pretrainings, then the downstream runs.

        Returns:
            A message for each failure. A failure does not stop the other runs.

        Raises:
            ValueError: If the folder holds such runs with other settings or backbones, or ``jobs`` is below 1.
        """
        # Detect folders with other settings before hours of pretraining.
        for run in self.runs:
            self._training(run).check_folder()
        failed = self.pretraining.train(jobs)
        self.failures = [f"{run.label}: see {run.folder / 'output.txt'}" for run in failed]
        # Each downstream run gets the backbone of its arm and seed.
        trainings = []
        for run in self.runs:
            if (run.arm, run.seed) in {(other.name, other.seed) for other in failed}:
                self.failures.append(f"{run.label}: not started, because its pretraining failed")
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
        """Return the backbone file of a run and a digest of its weights. The file is written if necessary.

        Args:
            run: A downstream run whose pretraining has finished.

        Returns:
            The file and the digest, or None and ``'none'`` for a run that starts from scratch.
        """
        # Find the checkpoint of the pretraining, or write one with random weights.
        slot, files = self.slots[run.recipe], (self.folder / "backbones").resolve()
        if run.arm != NO_PRETRAINING:
            folder = self.pretraining.folder / run.arm / f"seed_{run.seed}"
            newest = find_resumable(folder)
            if newest is None:
                raise ValueError(f"{folder} has finished, but contains no checkpoint; remove it to train again")
            source = Path(newest).resolve()
        elif slot.required:
            files.mkdir(parents=True, exist_ok=True)
            source = files / f"{NO_PRETRAINING}_seed_{run.seed}.pth"
            write_untrained(self.pretraining.configs[self.pretraining.recipes[0]], run.seed, source)
        else:
            return None, "none"
        # The digest changes if the backbone is trained again.
        checkpoint = read_checkpoint(source, needed=())
        weights = (
            weights_of(checkpoint, str(source)) if slot.whole else find_backbone(checkpoint, where=str(source)).weights
        )
        found = hashlib.sha256()
        for name, value in sorted(weights.items()):
            found.update(name.encode() + value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
        # Convert the backbone if the recipe belongs to a host with different names.
        if slot.host is not None:
            file = files / slot.host / f"{run.arm}_seed_{run.seed}.pth"
            file.parent.mkdir(parents=True, exist_ok=True)
            convert_backbone(source, file, slot.host)
            source = file
        return source, found.hexdigest()

    def table(self) -> pd.DataFrame:
        """Return every evaluation of every finished run: ``recipe, arm, seed, metric, step, value``."""
        columns = ["recipe", "arm", "seed", "metric", "step", "value"]
        tables = [pd.DataFrame(columns=columns)]
        unfinished = self.pretraining.unfinished
        for run in (run for run in self.pretraining.runs if run not in unfinished):
            found = read_evaluations(run.folder)
            if found.empty:  # without evaluations, the log of the training is used
                found = read_evaluations(run.folder, training=True)
            tables.append(found.assign(recipe="pretraining", arm=run.name, seed=run.seed))
        for trained in (run for run in self.runs if is_finished(run.folder, length(self.configs[run.recipe]))):
            found = read_evaluations(trained.folder)
            tables.append(found.assign(recipe=trained.name, arm=trained.arm, seed=trained.seed))
        return pd.concat([each for each in tables if len(each)] or tables, ignore_index=True)[columns]

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``results.csv`` and ``results.md`` from the finished runs, and return the text of ``results.md``.

        Args:
            metrics: Metrics of the downstream recipes to report. Defaults to all that any run of a recipe has.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        table = self.table()
        table.to_csv(self.folder / "results.csv", index=False, lineterminator="\n")
        # Failures and missing metrics come first.
        seeds, trained = self.pretraining.seeds, self.pretraining.names
        parts = ["# Transfer", _EXPLANATION]
        if self.failures:
            parts.append("Failed:\n\n" + "\n".join(f"- {each}" for each in self.failures))
        absent = [metric for metric in metrics or () if metric not in set(table["metric"])]
        if absent:
            parts.append(f"No run has measured {', '.join(absent)}.")
        # Add a section for the pretrainings, and one for each downstream recipe.
        parts += ["## Pretraining", compare_arms(table[table["recipe"] == "pretraining"], trained, seeds)]
        for recipe in self.downstream:
            name, baselines = Path(recipe).stem, list(dict.fromkeys([self.arms[0], trained[0]]))
            rows = table[table["recipe"] == name]
            chosen = rows if metrics is None else rows[rows["metric"].isin(metrics)]
            parts.append(f"## {name}")
            if NO_PRETRAINING in self.arms:
                random = f"random weights, namely those of the {trained[0]} model before its first step"
                scratch = "trained from scratch without a checkpoint, with the full learning rate in all layers"
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
    """Return the tables of one task in Markdown.

    Only values from the last step at which any run has the metric are used. A run without one counts as missing, even
    if it has earlier values.
    """
    if table.empty:
        return "No run has measured anything."
    final = table[table["step"] == table.groupby("metric")["step"].transform("max")]
    return paired_tables(final.assign(recipe=final["arm"]), arms, seeds, baselines)
