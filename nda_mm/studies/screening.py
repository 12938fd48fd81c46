"""Screen transforms as negatives and as positive augmentation, on one GAN recipe over the same seeds.

Every arm is the recipe with one change, written as a recipe of a few lines. The arms are trained, resumed and compared
like any other recipes (:class:`~nda_mm.studies.comparison.Comparison`). An arm that does well can be trained further on
its own.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from nda_mm.evaluation.audit import NegativeAudit
from nda_mm.evaluation.audit_inputs import config_images, negative_label, parse_settings
from nda_mm.losses import check_fake_weight
from nda_mm.negatives import build_negative
from nda_mm.registry import NEGATIVES
from nda_mm.studies.comparison import Comparison, NothingToCompareError, Run
from nda_mm.studies.jobs import digest, resolve
from nda_mm.studies.table import final_values, markdown_table, paired_interval
from nda_mm.utils.files import write_text_atomically

PLAIN = "plain"
SIDES = ("negative", "positive")


@dataclass(frozen=True)
class Arm:
    """One variant of the recipe.

    Args:
        name: Name of the arm's recipe file.
        transform: Label of the transform. Defaults to ``''``, for the plain arm.
        side: ``'negative'`` or ``'positive'``. Defaults to ``''``, for the plain arm.
        settings: Config of the transform. Defaults to None, for the plain arm.
        fake_weight: The ``fake_weight`` of the arm. Defaults to None: that of the recipe.
    """

    name: str
    transform: str = ""
    side: str = ""
    settings: Mapping[str, Any] | None = None
    fake_weight: float | None = None

    @property
    def label(self) -> str:
        """Label of the transform, with ``fake_weight`` if it is set."""
        return self.transform + ("" if self.fake_weight is None else f", fake_weight {self.fake_weight:g}")

    def changes(self, config: Any) -> str:
        """Return the lines of code that turn the recipe with this config into the arm."""
        old = config.model.get("negative")
        lines = ["model = dict(negative=None)"]
        if self.side == "negative":
            settings = dict(self.settings or {}, **(dict(_delete_=True) if old is not None else {}))
            weight = "" if self.fake_weight is None else f", fake_weight={self.fake_weight!r}"
            lines = [f"model = dict(negative={settings!r}{weight})"]
        elif self.side == "positive":
            hooks = [hook.to_dict() if hasattr(hook, "to_dict") else hook for hook in config.get("custom_hooks") or []]
            hooks.append(dict(type="nda_mm.PositiveTransformHook", transform=dict(self.settings or {})))
            lines.append(f"custom_hooks = {hooks!r}")
        return "\n".join(lines)


class Screening:
    """Trains a recipe without and with every transform, and reports the results next to the audit's verdicts.

    Args:
        recipe: Config file of a GAN of this package. The plain arm is trained without its negative.
        transforms: Transforms in the form that :func:`read_transform` reads, or None for the recipe's own negative.
        seeds: Seeds to train every arm with.
        folder: Folder for ``recipes/ARM.py``, the runs in ``ARM/seed_N``, ``audit.json`` and the report.
        train_command: Command that trains a config, for example ``[python, 'tools/train.py']``.
        sides: Whether to train with transforms as ``'negative'``, as ``'positive'``, or both. Defaults to both.
        fake_weights: Values of ``fake_weight`` with which to train every negative arm. Defaults to that of the recipe.
        cfg_options: ``K=V`` overrides for every run. Defaults to none.
        audit_images: Largest number of real training images for the audit. Defaults to 4000.

    Raises:
        ValueError: If the recipe is not a GAN of this package, there is no transform, a transform is repeated or
            invalid, or a fake weight is out of range.
    """

    def __init__(
        self,
        recipe: str,
        transforms: Sequence[str] | None,
        seeds: Sequence[int],
        folder: Path,
        *,
        train_command: Sequence[str],
        sides: Sequence[str] = SIDES,
        fake_weights: Sequence[float] = (),
        cfg_options: Sequence[str] = (),
        audit_images: int = 4000,
    ) -> None:
        # Check that the recipe trains a GAN that takes a negative.
        self.recipe, self.folder, self.audit_images = recipe, folder, audit_images
        self.config = resolve(recipe, cfg_options)
        model = self.config.get("model") or {}
        if not str(model.get("type")).startswith("nda_mm.NDA") or "discriminator" not in model:
            raise ValueError(
                f"recipe must train a GAN that takes a negative, but {recipe} trains {model.get('type')!r}"
            )
        # Take the given transforms, or the recipe's own negative. They must be valid and differ.
        if transforms is None and model.get("negative") is None:
            raise ValueError(f"{recipe} has no negative; name the transforms to screen with --transforms")
        settings = (
            [model["negative"].to_dict()] if transforms is None else [read_transform(text) for text in transforms]
        )
        self.transforms = {negative_label(each): each for each in settings}
        if len(self.transforms) != len(settings) or not settings:
            raise ValueError(f"transforms must be non-empty and all different, but got {transforms}")
        for weight in fake_weights:
            check_fake_weight(weight)
        for each in self.transforms.values():
            build_negative(each)
        # Write a recipe for each arm.
        self.arms = self._arms(sides, list(dict.fromkeys(fake_weights)) or [None])
        recipes = [str(self._write(arm)) for arm in self.arms]
        self.comparison = Comparison(recipes, seeds, folder, train_command=train_command, cfg_options=cfg_options)

    def train(self, jobs: int = 1) -> list[Run]:
        """Train all runs that have not finished, and return those that failed. See :meth:`Comparison.train`."""
        return self.comparison.train(jobs)

    def audit(self) -> dict[str, tuple[str, float]]:
        """Return verdict and separability (AUROC) of every transform on the recipe's training images.

        Results are kept in ``audit.json``. Data other than images, such as points, can't be audited. Their verdict is
        'not audited'.
        """
        path = self.folder / "audit.json"
        key = f"{digest(self.config)} {self.audit_images}"
        kept = json.loads(path.read_text()) if path.is_file() else {}
        found = kept.get("transforms", {}) if kept.get("key") == key else {}
        missing = [label for label in self.transforms if label not in found]
        if missing:
            try:
                audit = NegativeAudit(config_images(self.config, count=self.audit_images))
            except ValueError as error:
                print(f"no audit: {error}", file=sys.stderr)
                return dict.fromkeys(self.transforms, ("not audited", math.nan))
            for label in missing:
                report = audit.measure(label, build_negative(self.transforms[label]))
                found[label] = dict(verdict=report.verdict, separability=report.separability.value)
            write_text_atomically(path, json.dumps(dict(key=key, transforms=found), indent=2) + "\n")
        return {label: (found[label]["verdict"], found[label]["separability"]) for label in self.transforms}

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``screening.md``, ``screening.csv`` and ``screening.png`` in addition to the comparison's report.

        Args:
            metrics: Metrics to report, the most important first. Defaults to all that every run has.

        Returns:
            The report in Markdown.

        Raises:
            NothingToCompareError: If no seed has finished for all arms.
            ValueError: If :meth:`Comparison.report` raises it.
        """
        if not self.comparison.finished_seeds:
            raise NothingToCompareError(f"no seed has finished for all arms in {self.folder}")
        self.comparison.report(metrics)
        values = table(final_values(self.comparison.compared(metrics)), self.arms, self.audit())
        text = markdown(values, Path(self.recipe).stem)
        (self.folder / "screening.md").write_text(text)
        kept = ["transform", "side", "fake_weight", "metric", "seed", "value", "plain", "verdict", "auroc"]
        values[kept].to_csv(self.folder / "screening.csv", index=False, lineterminator="\n")
        plot(self.folder / "screening.png", values)
        return text

    def _arms(self, sides: Sequence[str], weights: Sequence[float | None]) -> list[Arm]:
        arms = [Arm(PLAIN)]
        for label, settings in self.transforms.items():
            short = re.sub(r"[^a-z0-9.]+", "_", label.lower()).strip("_").replace(".", "p")
            for weight in weights if "negative" in sides else ():
                suffix = "" if weight is None else f"_{weight:g}"
                arms.append(Arm(f"negative_{short}{suffix}", label, "negative", settings, weight))
            if "positive" in sides:
                arms.append(Arm(f"positive_{short}", label, "positive", settings))
        return arms

    def _write(self, arm: Arm) -> Path:
        path = self.folder / "recipes" / f"{arm.name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        base = os.path.relpath(Path(self.recipe).resolve(), path.parent.resolve())
        title = f"# Written by a screening of {Path(self.recipe).name}."
        path.write_text(f"{title}\n_base_ = {base!r}\n\n{arm.changes(self.config)}\n")
        return path


def read_transform(text: str) -> dict[str, Any]:
    """Read a transform from the command line: the name of a registered negative in any case, or its settings.

    Raises:
        ValueError: If no negative has that name, or the settings can't be parsed.

    Example:
        >>> read_transform("jigsaw"), read_transform("dict(type='jigsaw', grid=4)")
        ({'type': 'Jigsaw'}, {'type': 'Jigsaw', 'grid': 4})
    """
    settings = parse_settings(text)
    name = str(settings["type"]).removeprefix("nda_mm.")
    known = {each.lower(): each for each in NEGATIVES.module_dict}
    if name.lower() not in known:
        raise ValueError(f"transforms must be one of {', '.join(sorted(known.values()))}, but got {name!r}")
    return {**settings, "type": known[name.lower()]}


def table(final: pd.DataFrame, arms: Sequence[Arm], audited: Mapping[str, tuple[str, float]]) -> pd.DataFrame:
    """Return every final value of every arm, with the value of the plain arm and the audit's verdict.

    Args:
        final: Final values of all arms.
        arms: All arms.
        audited: Verdict and AUROC of every transform.
    """
    columns = ["recipe", "label", "transform", "side", "fake_weight", "verdict", "auroc"]
    rows = [
        (arm.name, arm.label, arm.transform, arm.side, arm.fake_weight, *audited.get(arm.transform, ("", math.nan)))
        for arm in arms
    ]
    plain = final[final["recipe"] == PLAIN].set_index(["metric", "seed"])["value"].rename("plain")
    values = final.join(plain, on=["metric", "seed"]).merge(pd.DataFrame(rows, columns=columns), on="recipe")
    return values.assign(difference=values["value"] - values["plain"])


def markdown(values: pd.DataFrame, recipe: str) -> str:
    """Return the report in Markdown: a table for every metric, with a row for each transform.

    Args:
        values: Values from :func:`table`.
        recipe: Name of the recipe.
    """
    seeds = values["seed"].unique()
    parts = [
        f"# Transforms on {recipe}",
        f"Final values over seeds {', '.join(map(str, seeds))} (n = {len(seeds)}). In brackets: the mean difference "
        "from the plain arm, paired by seed, with its 95 % t interval if there are several seeds. As negative: the "
        "discriminator sees transformed images as fake. As positive: it sees all real images transformed, as real. "
        "Audit: the verdict of tools/audit_negatives.py on the training images, and the AUROC for distinguishing "
        "negatives from real images.",
    ]
    for metric, of_metric in values.groupby("metric", sort=False):
        # Add a row for each transform and weight.
        parts += [f"## {metric}", f"Plain: {_mean(of_metric.loc[of_metric['side'] == '', 'value'])}."]
        rows = []
        for label, of_label in of_metric[of_metric["side"] != ""].groupby("label", sort=False):
            verdict, auroc = of_label[["verdict", "auroc"]].iloc[0]
            audit = verdict if math.isnan(auroc) else f"{verdict}, {auroc:.3f}"
            rows.append([label, audit, *(_cell(of_label[of_label["side"] == side]) for side in SIDES)])
        parts.append(markdown_table(["transform", "audit", "as negative", "as positive"], rows))
        # Check whether the audit predicts which negatives help.
        negatives = of_metric[of_metric["side"] == "negative"].groupby("label")[["auroc", "difference"]].mean()
        correlation = negatives["auroc"].corr(negatives["difference"], method="spearman", min_periods=3)
        if not math.isnan(correlation):
            parts.append(
                "Rank correlation (Spearman) of the audit's AUROC with the mean difference as negative: "
                f"{correlation:+.2f} over {len(negatives)} arms. For metrics where lower is better, an audit that "
                "predicts the order perfectly gives -1."
            )
    return "\n\n".join(parts) + "\n"


def plot(path: Path, values: pd.DataFrame) -> None:
    """Plot each metric of each arm: small dots for the seeds, a large dot for their mean, a line for the plain arm."""
    arms = values[values["side"] != ""]
    labels = arms.drop_duplicates("label")
    heights = {label: -float(number) for number, label in enumerate(labels["label"])}
    metrics = values["metric"].unique()
    figure = Figure(figsize=(7.0, len(metrics) * (1.2 + 0.45 * len(labels))), layout="constrained")
    for metric, axes in zip(metrics, figure.subplots(len(metrics), squeeze=False).flat):
        of_metric = arms[arms["metric"] == metric]
        plain = values.loc[(values["metric"] == metric) & (values["side"] == ""), "value"].mean()
        axes.axvline(plain, color="0.6", label="plain")
        for side, color, shift in (("negative", "C0", 0.12), ("positive", "C3", -0.12)):
            of_side = of_metric[of_metric["side"] == side]
            rows = of_side["label"].map(heights) + shift
            axes.plot(of_side["value"], rows, ".", color=color, markersize=4, alpha=0.5)
            means = of_side.groupby("label")["value"].mean()
            axes.plot(means, means.index.map(heights) + shift, "o", color=color, markersize=6, label=f"as {side}")
        axes.set_yticks(list(heights.values()), list(labels["label"] + "\n" + labels["verdict"]), fontsize=8)
        axes.set(xlabel=metric, ylim=(0.5 - len(labels), 0.5))
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def _cell(rows: pd.DataFrame) -> str:
    """Format the mean of an arm, and the mean and interval of its difference from the plain arm."""
    if rows.empty:
        return "not run"
    low, high = paired_interval(rows["difference"])
    interval = "" if math.isnan(low) else f", {low:+.3g} to {high:+.3g}"
    return f"{_mean(rows['value'])} [{rows['difference'].mean():+.3g}{interval}]"


def _mean(values: pd.Series) -> str:
    """Format the mean, with the spread if there are several seeds."""
    return f"{values.mean():.4g}" + (f" (sd {values.std():.2g})" if len(values) > 1 else "")
