"""Recipes compared at anomaly detection, over the seeds that each was trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from nda_mm.studies.configs import digest, resolve
from nda_mm.studies.jobs import Measurement, last_checkpoint, run_all
from nda_mm.studies.table import markdown_table, paired_tables

__all__ = ["compare_detection", "detect_with_runs"]

#: What must be equal for values to compare.
_SAME = ("benchmark", "inside", "inside_split", "inside_count")
#: What must be equal, besides, among discriminators with classes.
_SAME_OF_CLASSES = ("class_reduction", "classes")


@dataclass(frozen=True)
class Published:
    """What others published on a benchmark.

    Args:
        source: Where.
        sets: Names of the sets or families.
        auroc: For each method its AUROC on each set.
    """

    source: str
    sets: tuple[str, ...]
    auroc: dict[str, tuple[float, ...]]


#: By the argument ``benchmark`` of :class:`nda_mm.OODMetric`.
PUBLISHED = {
    "OpenOOD v1.5, CIFAR-10": Published(
        "Zhang et al., 2023, https://arxiv.org/abs/2306.09301; ResNet-18, 100 epochs",
        ("near", "far"),
        {
            "RotPred with PixMix": (0.949, 0.982),
            "outlier exposure, real outliers": (0.948, 0.960),
            "KNN": (0.906, 0.930),
            "CSI": (0.895, 0.920),
            "MSP": (0.880, 0.907),
            "OpenGAN": (0.537, 0.546),
        },
    ),
    "CIFAR-10": Published("Tack et al., 2020, https://arxiv.org/abs/2007.08176", ("cifar100",), {"CSI": (0.893,)}),
}


def detect_with_runs(
    folder: Path,
    recipe: str,
    names: Sequence[str] = (),
    *,
    test_command: Sequence[str],
    cfg_options: Sequence[str] = (),
    jobs: int = 1,
) -> list[Path]:
    """Test the last checkpoint of every finished run of a comparison by the evaluator of a recipe for detection.

    The models are those of the runs' own configs, so any width and any recipe of the comparison will do.

    Args:
        folder: The comparison's, with ``RECIPE/seed_N``. Gets ``ood/RECIPE/seed_N``.
        recipe: The recipe whose ``test_evaluator`` and ``test_cfg`` are used.
        names: Of the comparison's recipes, the baseline first. Defaults to all, in alphabetical order.
        test_command: Words that start a test, for example ``[python, 'tools/test.py']``.
        cfg_options: ``K=V`` words for every test.
        jobs: At a time, at least 1.

    Returns:
        A folder for each recipe, as :func:`compare_detection` takes them.

    Raises:
        ValueError: If a recipe has no finished run, or a test failed.
    """
    judge = resolve(recipe)
    evaluator = judge.get("test_evaluator")
    if not evaluator:
        raise ValueError(f"{recipe} has no test_evaluator to test the runs by")
    finished = sorted(path.parent for path in folder.glob("*/seed_*/finished.json"))
    names = list(names) or sorted({run.parent.name for run in finished})
    measurements = []
    for name in names:
        runs = [run for run in finished if run.parent.name == name]
        if not runs:
            raise ValueError(f"there is no finished run {folder / name}/seed_N; train it by tools/compare.py first")
        for run in runs:
            config = resolve(str(run / f"{name}.py"))  # as it was run, with all its overrides
            config.test_evaluator, config.test_cfg = evaluator, judge.get("test_cfg")
            out = folder / "ood" / name / run.name
            out.mkdir(parents=True, exist_ok=True)
            path = str(out / "recipe.py")
            config.dump(path)
            settings, label = dict(config=digest(resolve(path, cfg_options))), f"{name}, {run.name}"
            checkpoint = last_checkpoint(run)
            measurements.append(Measurement(path, out / "test", label, settings, tuple(cfg_options), checkpoint))
    failed = run_all(measurements, test_command, jobs)
    if failed:
        raise ValueError(f"the tests of {'; '.join(each.label for each in failed)} failed, see their output.txt")
    return [folder / "ood" / name for name in names]


def compare_detection(recipes: Sequence[Path], measures: Sequence[str] = ("auroc",), *, shared: bool = False) -> str:
    """Tables of means, spread and paired differences from the first recipe, and values that others published.

    The files are those that :class:`nda_mm.OODMetric` writes. Of a seed that was tested more than once, the newest
    counts.

    Args:
        recipes: A folder for each recipe, the baseline first, with ``seed_N`` folders that hold a ``results.json``
            somewhere below. The folder's name is the recipe's.
        measures: Those to report, of each set and family and of their mean.
        shared: Compare the seeds that all recipes were tested with, rather than require the same. Defaults to False.

    Returns:
        Markdown.

    Raises:
        ValueError: If a folder holds no results, the seeds differ, or the data, sets or scores were not the same.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"the folders must have different names, those of their recipes, but got {names}")
    found = {recipe.name: _read(recipe) for recipe in recipes}
    seeds = sorted(set.intersection(*(set(results) for results in found.values())))
    tested = {name: sorted(results) for name, results in found.items()}
    if not seeds or (not shared and any(each != seeds for each in tested.values())):
        raise ValueError(f"the recipes were tested with different seeds: {tested}")
    reference: dict[str, Any] = {}
    rows = []
    for name, seed in product(names, seeds):
        content = found[name][seed]
        conditions = _conditions(content)
        reference = conditions | reference  # a classifier leaves open what discriminators have to share
        if any(value != reference[key] for key, value in conditions.items()):
            raise ValueError(
                f"{name}, seed {seed}, was not tested as {names[0]}, seed {seeds[0]}: {conditions} against {reference}"
            )
        # Members of families are only in their files.
        parts = {each["name"]: each["values"] for each in content["sets"] if "/" not in each["name"]}
        for part, values in (parts | content["means"]).items():
            rows += [(measure, f"{part} {measure}", name, seed, values[measure]) for measure in measures]
    final = pd.DataFrame(rows, columns=["measure", "metric", "recipe", "seed", "value"])
    by_measure = pd.concat([final[final["measure"] == measure] for measure in measures])
    tables = paired_tables(by_measure, names, seeds)
    published = PUBLISHED.get(reference["benchmark"])
    return tables if published is None or "auroc" not in measures else tables + _beside(published, final, found)


def _beside(published: Published, final: pd.DataFrame, found: Mapping[str, Mapping[int, Any]]) -> str:
    """A table of our means and the published values, as Markdown; empty if no set is the same."""
    means = final[final["measure"] == "auroc"].groupby(["recipe", "metric"], sort=False)["value"].mean()
    sets = [name for name in published.sets if any(f"{name} auroc" == metric for _, metric in means.index)]
    if not sets:
        return ""
    rows = [[recipe, *(f"{means[recipe, f'{name} auroc']:.3f}" for name in sets), "measured"] for recipe in found]
    for method, auroc in published.auroc.items():
        values = [f"{value:.3f}" for name, value in zip(published.sets, auroc, strict=True) if name in sets]
        rows.append([method, *values, "published"])
    parts = [
        f"\nAUROC beside published values, which were not measured here ({published.source}).",
        markdown_table(["", *sets, ""], rows),
    ]
    contents = [content for seeds in found.values() for content in seeds.values()]
    unlisted = {each["name"] for content in contents for each in content["sets"] if "no list" in each["resizing"]}
    unlisted |= {"the ID set" for content in contents if "no list" in content["protocol"].get("inside_resizing", "")}
    if unlisted:
        parts.append(f"Not the benchmark's images, as there was no list: {', '.join(sorted(unlisted))}.")
    return "\n\n".join(parts) + "\n"


def _read(recipe: Path) -> dict[int, dict[str, Any]]:
    """The newest results of each seed."""
    seeds = {}
    for file in sorted(recipe.glob("seed_*/**/results.json"), key=lambda path: path.stat().st_mtime):
        seed = file.relative_to(recipe).parts[0].removeprefix("seed_")
        if seed.isdigit():
            seeds[int(seed)] = json.loads(file.read_text())
    if not seeds:
        raise ValueError(f"there is no {recipe}/seed_N/**/results.json; test each seed with --work-dir {recipe}/seed_N")
    return seeds


def _conditions(content: Mapping[str, Any]) -> dict[str, Any]:
    counts = {each["name"]: each["count"] for each in content["sets"]}
    protocol = content["protocol"]
    same = _SAME + (_SAME_OF_CLASSES if protocol.get("classes") else ())
    aupr = protocol.get("aupr", "average precision")  # not in results of before
    return {key: protocol.get(key) for key in same} | {"aupr": aupr, "sets": counts}
