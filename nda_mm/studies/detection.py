"""Recipes compared at anomaly detection, over the seeds that each was trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from nda_mm.studies.jobs import Measurement, digest, last_checkpoint, resolve, run_all
from nda_mm.studies.table import paired_tables

#: What must be equal for values to compare.
_SAME = ("benchmark", "inside", "inside_split", "inside_count")
#: What must be equal, besides, among discriminators with classes.
_SAME_OF_CLASSES = ("class_reduction", "classes")


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
    # The evaluator, and the runs that it is to test.
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
            # Its config as it was run, with all its overrides, and the other evaluator.
            config = resolve(str(run / f"{name}.py"))
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
        raise ValueError(f"the folders must have different names, those of their recipes, but got {names}")
    # The same seeds of all.
    found = {recipe.name: _read(recipe) for recipe in recipes}
    seeds = sorted(set.intersection(*(set(results) for results in found.values())))
    tested = {name: sorted(results) for name, results in found.items()}
    if not seeds or (not shared and any(each != seeds for each in tested.values())):
        raise ValueError(f"the recipes were tested with different seeds: {tested}")
    # Tested under the same conditions.
    reference: dict[str, Any] = {}
    for name, seed in product(names, seeds):
        conditions = _conditions(found[name][seed])
        reference = conditions | reference  # a classifier leaves open what discriminators have to share
        if any(value != reference[key] for key, value in conditions.items()):
            raise ValueError(
                f"{name}, seed {seed}, was not tested as {names[0]}, seed {seeds[0]}: {conditions} against {reference}"
            )
    # A row for each measure of each set, and of each mean.
    rows = []
    for measure, name, seed in product(measures, names, seeds):
        content = found[name][seed]
        # Members of families are only in their files.
        parts = {each["name"]: each["values"] for each in content["sets"] if "/" not in each["name"]}
        rows += [(f"{part} {measure}", name, seed, of[measure]) for part, of in (parts | content["means"]).items()]
    return paired_tables(pd.DataFrame(rows, columns=["metric", "recipe", "seed", "value"]), names, seeds)


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
