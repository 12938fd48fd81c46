"""Tables of tasks by arms, where a run may lack a metric that others have."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nda_mm.studies.run_results import Curves, PairedDifference, Summary, markdown, paired_differences, summarise

__all__ = ["Outcome", "report_outcomes", "write_outcomes"]

_OF_MISSING = (
    "Means and differences are over the seeds that are there. mmdet's CocoMetric gives no average precision to a "
    "detector that has found nothing at all: what is missing is then the worst, not a random omission."
)


@dataclass(frozen=True)
class Outcome:
    """What a finished run has measured."""

    task: str
    arm: str
    seed: int
    curves: Curves


def report_outcomes(
    outcomes: Sequence[Outcome],
    arms: Sequence[str],
    seeds: Sequence[int],
    baselines: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
) -> str:
    """Final values of one task's metrics and their paired differences, as Markdown.

    A value is final if it was measured at the last step at which any run has that metric; an earlier one does not
    stand in for it. Means are over the seeds that have a value, differences over those of which both arms have one.

    Args:
        outcomes: Those of one task.
        arms: Their order.
        seeds: Those that were asked for.
        baselines: Arms from which differences are taken. Default None: the first arm.
        metrics: Default None: all that any outcome has.

    Returns:
        Tables, and a list of what is missing.

    Example:
        >>> runs = [Outcome("probe", arm, 0, {"top1": [(5, value)]}) for arm, value in (("a", 80.0), ("b", 82.5))]
        >>> print(report_outcomes(runs, ["a", "b"], [0]).splitlines()[-1])
        | top1 | b | +2.5 | +nan to +nan | +2.5 |
    """
    found = list(dict.fromkeys(metric for outcome in outcomes for metric in outcome.curves))
    chosen = [metric for metric in (metrics or found) if metric in found]
    summaries: list[Summary] = []
    differences: list[PairedDifference] = []
    missing: list[str] = []
    if not chosen:
        missing.append(f"no run has measured {', '.join(metrics) if metrics else 'anything'}")
    for metric in chosen:
        values = _final(outcomes, metric)
        for arm in arms:
            present = [values[arm, seed] for seed in seeds if (arm, seed) in values]
            absent = [str(seed) for seed in seeds if (arm, seed) not in values]
            summaries += [summarise(arm, metric, present)] if present else []
            missing += [f"{metric} of {arm}, seed {', '.join(absent)}"] if absent else []
        for baseline in baselines or arms[:1]:
            # The first arm, which may be no pretraining, is not compared with the later baselines a second time.
            for arm in arms[arms.index(baseline) + 1 :]:
                both = [seed for seed in seeds if (arm, seed) in values and (baseline, seed) in values]
                if both:
                    ours = summarise(arm, metric, [values[arm, seed] for seed in both])
                    theirs = summarise(baseline, metric, [values[baseline, seed] for seed in both])
                    differences.append(paired_differences(ours, theirs))
    text = markdown(summaries, differences, seeds) if summaries else ""
    if missing:
        text += "\nMissing, as the run is not finished or did not measure it:\n\n"
        text += "\n".join(f"- {each}" for each in missing)
        text += f"\n\n{_OF_MISSING}\n"
    return text


def write_outcomes(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Every evaluation of every run, one to a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["recipe", "arm", "seed", "metric", "step", "value"])
        for outcome in outcomes:
            for metric, curve in outcome.curves.items():
                writer.writerows([outcome.task, outcome.arm, outcome.seed, metric, *point] for point in curve)


def _final(outcomes: Sequence[Outcome], metric: str) -> dict[tuple[str, int], float]:
    """Final values by arm and seed."""
    curves = {(outcome.arm, outcome.seed): outcome.curves.get(metric, []) for outcome in outcomes}
    last = max(step for curve in curves.values() for step, _ in curve)
    return {run: curve[-1][1] for run, curve in curves.items() if curve and curve[-1][0] == last}
