"""Recipes against each other at anomaly detection, over the seeds that each was trained with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nda_mm.studies.run_results import markdown, paired_differences, summarise

#: What must be equal for values to compare.
_SAME = ("inside", "inside_split", "inside_count", "class_reduction", "classes")


def compare_detection(recipes: Sequence[Path], measures: Sequence[str] = ("auroc",)) -> str:
    """Tables of means, spread and paired differences from the first recipe.

    The files are those that :class:`nda_mm.OODMetric` writes. Of a seed that was tested more than once, the newest
    counts.

    Args:
        recipes: A folder for each recipe, the baseline first, with ``seed_N`` folders that hold a ``results.json``
            somewhere below. The folder's name is the recipe's.
        measures: Those to report, of each set and family and of their mean.

    Returns:
        Markdown.

    Raises:
        ValueError: If a folder holds no results, the seeds differ, or the data, sets or scores were not the same.
    """
    names = [recipe.name for recipe in recipes]
    if len(set(names)) != len(names) or not names:
        raise ValueError(f"the folders must be named after different recipes, but are {names}")
    found = {recipe.name: _read(recipe) for recipe in recipes}
    seeds = sorted(found[names[0]])
    for name, results in found.items():
        if sorted(results) != seeds:
            raise ValueError(
                f"{names[0]} was tested with the seeds {seeds} and {name} with {sorted(results)}; test the missing ones"
            )
    reference = _conditions(found[names[0]][seeds[0]])
    for name, results in found.items():
        for seed, content in results.items():
            if _conditions(content) != reference:
                raise ValueError(
                    f"{name}, seed {seed}, was not tested as {names[0]}, seed {seeds[0]}: "
                    f"{_conditions(content)} against {reference}"
                )
    summaries, differences = [], []
    for measure in measures:
        for part in _values(found[names[0]][seeds[0]]):
            rows = [
                summarise(name, f"{part} {measure}", [_values(found[name][seed])[part][measure] for seed in seeds])
                for name in names
            ]
            summaries += rows
            differences += [paired_differences(row, rows[0]) for row in rows[1:]]
    return markdown(summaries, differences, seeds)


def _read(recipe: Path) -> dict[int, dict[str, Any]]:
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
    """Sets and means; members of families stand in their files."""
    return {each["name"]: each["values"] for each in content["sets"] if "/" not in each["name"]} | content["means"]
