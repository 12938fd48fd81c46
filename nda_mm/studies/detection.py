"""Compare recipes at anomaly detection, over the seeds that each was trained with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from nda_mm.studies.jobs import Measurement, digest, last_checkpoint, resolve, run_all
from nda_mm.studies.table import paired_tables

#: Settings that must be equal for results to be comparable.
_SAME = ("benchmark", "inside", "inside_split", "inside_count")
#: Settings that must also be equal among discriminators with classes.
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
    """Test the last checkpoint of every finished run of a comparison with the evaluator of a detection recipe.

    Models are built from the runs' own configs, so recipes of any kind and width can be tested.

    Args:
        folder: Folder of the comparison, with runs in ``RECIPE/seed_N``. Results are written to ``ood/RECIPE/seed_N``.
        recipe: Recipe whose ``test_evaluator`` and ``test_cfg`` are used.
        names: Recipes of the comparison to test, the baseline first. Defaults to all, in alphabetical order.
        test_command: Command that starts a test, for example ``[python, 'tools/test.py']``.
        cfg_options: ``K=V`` overrides for every test.
        jobs: Number of tests to run at a time, at least 1. Defaults to 1.

    Returns:
        The folder of each recipe, for :func:`compare_detection`.

    Raises:
        ValueError: If a recipe has no finished run, or a test failed.
    """
    # Find the evaluator and the runs to test.
    judge = resolve(recipe)
    evaluator = judge.get("test_evaluator")
    if not evaluator:
        raise ValueError(f"recipe must have a test_evaluator, but {recipe} has none")
    finished = sorted(path.parent for path in folder.glob("*/seed_*/finished.json"))
    names = list(names) or sorted({run.parent.name for run in finished})
    measurements = []
    for name in names:
        runs = [run for run in finished if run.parent.name == name]
        if not runs:
            raise ValueError(f"there is no finished run {folder / name}/seed_N; train it with tools/compare.py first")
        for run in runs:
            # Take the run's own config, with all its overrides, and replace the evaluator.
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
        raise ValueError(f"the tests of {'; '.join(each.label for each in failed)} failed; see their output.txt")
    return [folder / "ood" / name for name in names]


def compare_detection(recipes: Sequence[Path], measures: Sequence[str] = ("auroc",), *, shared: bool = False) -> str:
    """Return tables of means, spread and paired differences from the first recipe.

    Reads the files that :class:`nda_mm.OODMetric` writes. If a seed was tested more than once, the newest results are
    used.

    Args:
        recipes: Folders of the recipes, the baseline first. Each is named after its recipe and has ``seed_N`` folders
            with a ``results.json`` somewhere below.
        measures: Measures to report for each OOD set and family and for their mean. Defaults to ``('auroc',)``.
        shared: Whether to compare only the seeds that all recipes were tested with, instead of requiring the same
            seeds. Defaults to False.

    Returns:
        The tables in Markdown.

    Raises:
        ValueError: If a folder holds no results, the seeds differ, or the data, OOD sets or scores were not the same.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"recipes must be folders with different names, but got {names}")
    # Find the seeds that all recipes have.
    found = {recipe.name: _read(recipe) for recipe in recipes}
    seeds = sorted(set.intersection(*(set(results) for results in found.values())))
    tested = {name: sorted(results) for name, results in found.items()}
    if not seeds or (not shared and any(each != seeds for each in tested.values())):
        raise ValueError(f"recipes must be tested with the same seeds, but got different seeds: {tested}")
    # Check that all were tested under the same conditions.
    reference: dict[str, Any] = {}
    for name, seed in product(names, seeds):
        conditions = _conditions(found[name][seed])
        reference = conditions | reference  # a classifier lacks some of the settings that discriminators must share
        if any(value != reference[key] for key, value in conditions.items()):
            raise ValueError(
                f"{name}, seed {seed}, was not tested as {names[0]}, seed {seeds[0]}: {conditions} against {reference}"
            )
    # Make a row for each measure of each OOD set and of each mean.
    rows = []
    for measure, name, seed in product(measures, names, seeds):
        content = found[name][seed]
        # Members of families are left out: the means include their family.
        parts = {each["name"]: each["values"] for each in content["sets"] if "/" not in each["name"]}
        rows += [(f"{part} {measure}", name, seed, of[measure]) for part, of in (parts | content["means"]).items()]
    return paired_tables(pd.DataFrame(rows, columns=["metric", "recipe", "seed", "value"]), names, seeds)


def _read(recipe: Path) -> dict[int, dict[str, Any]]:
    """Read the newest results of each seed."""
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
    aupr = protocol.get("aupr", "average precision")  # older results do not state it
    return {key: protocol.get(key) for key in same} | {"aupr": aupr, "sets": counts}
