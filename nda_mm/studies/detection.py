"""Recipes compared at anomaly detection, over the seeds that each was trained with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nda_mm.studies.configs import digest, resolve
from nda_mm.studies.jobs import Measurement, last_checkpoint, run_all
from nda_mm.studies.table import paired_tables

__all__ = ["compare_detection", "detect_with_runs"]

#: What must be equal for values to compare.
_SAME = ("inside", "inside_split", "inside_count", "class_reduction", "classes")


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
        recipe: The recipe whose ``test_evaluator`` is used.
        names: Of the comparison's recipes, the baseline first. Defaults to all, in alphabetical order.
        test_command: Words that start a test, for example ``[python, 'tools/test.py']``.
        cfg_options: ``K=V`` words for every test.
        jobs: At a time, at least 1.

    Returns:
        A folder for each recipe, as :func:`compare_detection` takes them.

    Raises:
        ValueError: If a recipe has no finished run, or a test failed.
    """
    evaluator = resolve(recipe).get("test_evaluator")
    if not evaluator:
        raise ValueError(f"{recipe} has no test_evaluator to test the runs by")
    names = list(names) or sorted({path.parents[1].name for path in folder.glob("*/seed_*/finished.json")})
    measurements = []
    for name in names:
        runs = sorted(path.parent for path in (folder / name).glob("seed_*/finished.json"))
        if not runs:
            raise ValueError(f"there is no finished run {folder / name}/seed_N; train it by tools/compare.py first")
        for run in runs:
            config = resolve(str(run / f"{name}.py"))  # as it was run, with all its overrides
            config.test_evaluator = evaluator
            out = folder / "ood" / name / run.name
            out.mkdir(parents=True, exist_ok=True)
            config.dump(out / "recipe.py")
            settings = dict(config=digest(resolve(str(out / "recipe.py"), cfg_options)))
            measurements.append(
                Measurement(
                    str(out / "recipe.py"),
                    out / "test",
                    f"{name}, {run.name}",
                    settings,
                    tuple(cfg_options),
                    last_checkpoint(run),
                )
            )
    failed = run_all(measurements, test_command, jobs)
    if failed:
        raise ValueError(f"the tests of {'; '.join(each.label for each in failed)} failed, see their output.txt")
    return [folder / "ood" / name for name in names]


def compare_detection(recipes: Sequence[Path], measures: Sequence[str] = ("auroc",), *, shared: bool = False) -> str:
    """Tables of means, spread and paired differences from the first recipe.

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
        raise ValueError(f"the folders must be named after different recipes, but are {names}")
    found = {recipe.name: _read(recipe) for recipe in recipes}
    seeds = sorted(set.intersection(*(set(results) for results in found.values())))
    if shared and not seeds:
        raise ValueError(f"{', '.join(names)} have no seed in common that was tested")
    for name, results in found.items():
        if not shared and sorted(results) != sorted(found[names[0]]):
            raise ValueError(
                f"{names[0]} was tested with the seeds {sorted(found[names[0]])} and {name} with {sorted(results)}; "
                "test the missing ones"
            )
    reference = _conditions(found[names[0]][seeds[0]])
    rows = []
    for name in names:
        for seed in seeds:
            content = found[name][seed]
            if _conditions(content) != reference:
                raise ValueError(
                    f"{name}, seed {seed}, was not tested as {names[0]}, seed {seeds[0]}: "
                    f"{_conditions(content)} against {reference}"
                )
            for part, values in _values(content).items():
                rows += [(measure, f"{part} {measure}", name, seed, values[measure]) for measure in measures]
    final = pd.DataFrame(rows, columns=["measure", "metric", "recipe", "seed", "value"])
    by_measure = pd.concat([final[final["measure"] == measure] for measure in measures])
    return paired_tables(by_measure, names, seeds)


def _read(recipe: Path) -> dict[int, dict[str, Any]]:
    """The newest results of each seed."""
    seeds: dict[int, dict[str, Any]] = {}
    for folder in sorted(recipe.glob("seed_*")):
        number = re.fullmatch(r"seed_(\d+)", folder.name)
        files = sorted(folder.rglob("results.json"), key=lambda path: path.stat().st_mtime)
        if number and files:
            seeds[int(number[1])] = json.loads(files[-1].read_text())
    if not seeds:
        raise ValueError(
            f"there is no {recipe}/seed_N/**/results.json; test each seed with --work-dir {recipe}/seed_N first"
        )
    return seeds


def _conditions(content: Mapping[str, Any]) -> dict[str, Any]:
    counts = {each["name"]: each["count"] for each in content["sets"]}
    return {key: content["protocol"].get(key) for key in _SAME} | {"sets": counts}


def _values(content: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Sets and means; members of families are only in their files."""
    return {each["name"]: each["values"] for each in content["sets"] if "/" not in each["name"]} | content["means"]
