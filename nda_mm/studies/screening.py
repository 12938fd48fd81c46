"""Which transforms help? Each as a negative, and as positive augmentation, on one GAN recipe over the same seeds.

Every arm is the recipe with one thing changed, written as a recipe of a few lines of its own, so that the arms are
trained, resumed and compared as any recipes are (:class:`~nda_mm.studies.comparison.Comparison`), and an arm that does
well can be trained on by itself.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.evaluation.audit import NegativeAudit
from nda_mm.evaluation.audit_cli import parse_settings
from nda_mm.evaluation.audit_inputs import config_images, negative_label
from nda_mm.losses import check_fake_weight
from nda_mm.negatives import build_negative
from nda_mm.registry import NEGATIVES
from nda_mm.studies.comparison import Comparison, Run
from nda_mm.studies.screening_report import Audited, Trained, markdown, plot, write_csv
from nda_mm.studies.training_jobs import digest, resolve
from nda_mm.utils.files import write_text_atomically

__all__ = ["PLAIN", "Arm", "Screening", "read_transform"]

PLAIN = "plain"
SIDES = ("negative", "positive")


@dataclass(frozen=True)
class Arm:
    """One way to train the recipe.

    Args:
        name: Of its recipe's file.
        transform: Its label; empty for the plain arm.
        side: 'negative', 'positive', or empty for the plain arm.
        settings: The transform's config; None for the plain arm.
        fake_weight: Where it is not the recipe's own.
    """

    name: str
    transform: str = ""
    side: str = ""
    settings: Mapping[str, Any] | None = None
    fake_weight: float | None = None

    def changes(self, config: Any) -> str:
        """The lines that make the arm of the recipe with this config."""
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
    """Trains a recipe plain, and with every transform on every side, and says beside each what the audit said.

    Args:
        recipe: Config file of a GAN of this package's; a negative it has is taken out for the plain arm.
        transforms: As :func:`read_transform` takes them. None: the recipe's own negative.
        seeds: The same for every arm.
        folder: Gets ``recipes/ARM.py``, ``ARM/seed_N`` for every run, ``audit.json`` and the report.
        train_command: Words that start the training of a config.
        sides: Of 'negative' and 'positive', those to train. Defaults to both.
        fake_weights: Of the negative arms; every transform is trained with each. Defaults to none: the recipe's own.
        cfg_options: ``K=V`` words for every run.
        audit_images: Real training images that the audit looks at, at most. Defaults to 4000.

    Raises:
        ValueError: If the recipe is no GAN of this package's, a transform comes twice, there is none, or a transform
            does not fit the images.
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
        unknown = [side for side in sides if side not in SIDES]
        if unknown or not sides:
            raise ValueError(f"sides must be of {', '.join(SIDES)}, but got {list(sides)}")
        self.recipe, self.folder, self.audit_images = recipe, folder, audit_images
        self.config = resolve(recipe, cfg_options)
        model = self.config.get("model") or {}
        if not str(model.get("type")).startswith("nda_mm.NDA") or "discriminator" not in model:
            raise ValueError(
                f"{recipe} trains {model.get('type')!r}; the screening needs a GAN of this package's, such as "
                "nda_mm.NDABigGAN, which takes a negative"
            )
        if transforms is None and model.get("negative") is None:
            raise ValueError(f"{recipe} has no negative of its own; name the transforms to screen (--transforms)")
        given = [read_transform(text) for text in transforms or ()]
        settings = [model["negative"].to_dict()] if transforms is None else given
        self.transforms = {negative_label(each): each for each in settings}
        if len(self.transforms) != len(settings) or not settings:
            raise ValueError(f"the transforms must be given and differ, but got {list(transforms or ())}")
        for weight in fake_weights:
            check_fake_weight(weight)
            if weight == 1.0:
                raise ValueError("at a fake_weight of 1 there are no negatives: that is the plain arm")
        self.fake_weights = list(dict.fromkeys(fake_weights))
        self.sides = [side for side in SIDES if side in sides]
        for each in self.transforms.values():
            build_negative(each)
        self.arms = self._arms()
        self.comparison = Comparison(
            [str(self._write(arm)) for arm in self.arms],
            seeds,
            folder,
            train_command=train_command,
            cfg_options=cfg_options,
        )

    def _arms(self) -> list[Arm]:
        arms = [Arm(PLAIN)]
        weights: list[float | None] = [*self.fake_weights] or [None]
        for label, settings in self.transforms.items():
            short = _file_name(label)
            if "negative" in self.sides:
                arms += [
                    Arm(
                        f"negative_{short}" + ("" if weight is None else f"_{weight:g}"),
                        label,
                        "negative",
                        settings,
                        weight,
                    )
                    for weight in weights
                ]
            if "positive" in self.sides:
                arms.append(Arm(f"positive_{short}", label, "positive", settings))
        return arms

    def _write(self, arm: Arm) -> Path:
        """The arm as a recipe; an equal one is left as it is."""
        path = self.folder / "recipes" / f"{arm.name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        base = os.path.relpath(Path(self.recipe).resolve(), path.parent.resolve())
        text = (
            f"# Written by a screening of {Path(self.recipe).name}.\n_base_ = {base!r}\n\n{arm.changes(self.config)}\n"
        )
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)
        return path

    def train(self, jobs: int = 1) -> list[Run]:
        """Train what is not finished; the runs that failed. See :meth:`Comparison.train`."""
        return self.comparison.train(jobs)

    def audit(self) -> dict[str, Audited]:
        """What the audit says of every transform on the recipe's training images; kept in ``audit.json``.

        Data that are no images, such as points, cannot be audited; the verdict is then 'not audited'.
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
                return {label: Audited("not audited", math.nan) for label in self.transforms}
            for label in missing:
                report = audit.measure(label, build_negative(self.transforms[label]))
                found[label] = dict(verdict=report.verdict, separability=report.separability.value)
            write_text_atomically(path, json.dumps(dict(key=key, transforms=found), indent=2) + "\n")
        return {label: Audited(**found[label]) for label in self.transforms}

    def report(self, metrics: Sequence[str] | None = None) -> str:
        """Write ``screening.md``, ``screening.csv`` and ``screening.png`` beside the comparison's own report.

        Args:
            metrics: Those to report, the most important first. Default None: all that every finished run has.

        Returns:
            The table.

        Raises:
            ValueError: If no seed is finished for all arms, or they share no metric.
        """
        self.comparison.report(metrics)
        curves = self.comparison.curves()
        finished = {(run.name, run.seed) for run in curves}
        seeds = [seed for seed in self.comparison.seeds if all((arm.name, seed) in finished for arm in self.arms)]
        final = {(run.name, run.seed): curve for run, curve in curves.items()}
        shared = [name for name in next(iter(curves.values())) if all(name in curve for curve in curves.values())]
        rows = [
            Trained(
                arm.transform,
                arm.side,
                arm.fake_weight,
                metric,
                tuple(final[arm.name, seed][metric][-1][1] for seed in seeds),
                tuple(final[PLAIN, seed][metric][-1][1] for seed in seeds),
            )
            for metric in (metrics or shared)
            for arm in self.arms
        ]
        audited = self.audit()
        text = markdown(rows, audited, seeds, Path(self.recipe).stem)
        (self.folder / "screening.md").write_text(text)
        write_csv(self.folder / "screening.csv", rows, audited, seeds)
        plot(self.folder / "screening.png", rows, audited)
        return text


def read_transform(text: str) -> dict[str, Any]:
    """A transform's config from the command line: a registered negative's name in any case, or its settings.

    Raises:
        ValueError: If no negative has that name, or the settings cannot be read.

    Example:
        >>> read_transform("jigsaw"), read_transform("dict(type='jigsaw', grid=4)")
        ({'type': 'Jigsaw'}, {'type': 'Jigsaw', 'grid': 4})
    """
    settings = parse_settings(text)
    name = str(settings["type"]).removeprefix("nda_mm.")
    known = {each.lower(): each for each in NEGATIVES.module_dict}
    if name.lower() not in known:
        raise ValueError(f"no negative is registered as {name!r}; there are: {', '.join(sorted(known.values()))}")
    return {**settings, "type": known[name.lower()]}


def _file_name(label: str) -> str:
    """A transform's label in letters that a file name may have.

    Example:
        >>> _file_name("Jigsaw(grid=(2, 4))")
        'jigsaw_grid_2_4'
    """
    words = "".join(letter if letter.isalnum() or letter == "." else " " for letter in label.lower()).split()
    return "_".join(words).replace(".", "p")
