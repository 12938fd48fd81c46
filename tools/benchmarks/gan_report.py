"""The figures of gan_throughput.py: what a row holds, which bars are met, and the files."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_ladder import SCHEDULE

#: At most this many plain iterations may one with negatives take; at least this many times as fast as the first rung
#: must the shipped loop be; and less than this many hours may the published schedule take, by negatives.
BARS = {"negatives_over_plain": 1.35, "times_as_fast_as_stock": 3.0, "schedule_hours": 1.0}


@dataclass
class Row:
    """One setting's figures. An iteration is a full one of the generator."""

    rung: str
    setting: str
    negatives: bool
    precision: str = ""
    steps: int = 0
    milliseconds: float | None = None
    median: float | None = None
    slowest_tenth: float | None = None
    images_per_second: float | None = None
    teraflop: float | None = None
    share_of_arithmetic: float | None = None
    times_as_fast_as_stock: float | None = None
    over_plain: float | None = None
    memory_gib: float | None = None
    error: str = ""


def compare(rows: list[Row]) -> None:
    """Fill in what a row is beside others: the first rung alike in negatives, and the same rung without any."""
    times = {(row.rung, row.negatives): row.milliseconds for row in rows if row.milliseconds is not None}
    for row in rows:
        if row.milliseconds is None:
            continue
        stock, plain = times.get(("0", row.negatives)), times.get((row.rung, False))
        if stock is not None and row.rung != "0":
            row.times_as_fast_as_stock = stock / row.milliseconds
        if plain is not None and row.negatives:
            row.over_plain = row.milliseconds / plain


def check_bars(rows: list[Row], schedule: dict[str, float] | None) -> dict[str, dict[str, Any]]:
    """What was measured of each bar by the shipped recipe with negatives; ``met`` is None where nothing was."""
    shipped = next((row for row in rows if row.rung == "shipped" and row.negatives), None)
    measured = {
        "negatives_over_plain": shipped.over_plain if shipped else None,
        "times_as_fast_as_stock": shipped.times_as_fast_as_stock if shipped else None,
        "schedule_hours": schedule["schedule_hours"] if schedule else None,
    }
    met = {
        name: None
        if value is None
        else (value >= BARS[name] if name == "times_as_fast_as_stock" else value <= BARS[name])
        for name, value in measured.items()
    }
    return {name: {"measured": measured[name], "bar": BARS[name], "met": met[name]} for name in BARS}


def markdown(report: dict[str, Any]) -> str:
    """The table, with what it was measured on."""
    settings = report["settings"]
    lines = [
        f"{report['device']}, torch {report['torch']}; {report['data']}; width {settings['width']}, batch "
        f"{settings['batch']}; {settings['steps']} iterations timed after {settings['warmup']}.",
        "",
        "| rung | setting | negatives | ms / iteration | slowest tenth | images / s | of the arithmetic "
        "| times as fast as rung 0 | over plain |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report["rows"]:
        figures = [
            _shown(row[key], form)
            for key, form in (
                ("milliseconds", ".1f"),
                ("slowest_tenth", ".1f"),
                ("images_per_second", ",.0f"),
                ("share_of_arithmetic", ".1%"),
                ("times_as_fast_as_stock", ".2f"),
                ("over_plain", ".2f"),
            )
        ]
        if row["error"]:
            figures = [f"failed: {row['error'].splitlines()[0]}", *[""] * 5]
        lines.append(
            f"| {row['rung']} | {row['setting']} | {'yes' if row['negatives'] else 'no'} | {' | '.join(figures)} |"
        )
    if report["schedule"]:
        found = report["schedule"]
        lines += [
            "",
            f"{SCHEDULE:,} generator steps: {found['schedule_hours']:.2f} hours, from {found['timed_steps']} timed as "
            f"the first ({found['milliseconds_first']:.1f} ms) and as the last ({found['milliseconds_last']:.1f} ms).",
        ]
    for name, bar in report["bars"].items():
        if bar["met"] is not None:
            lines.append(f"{name}: {bar['measured']:.2f}, bar {bar['bar']:g}: {'met' if bar['met'] else 'MISSED'}")
    return "\n".join(lines) + "\n"


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def read(out: Path, alike: dict[str, Any]) -> dict[str, Any] | None:
    """What an earlier call has written, if it was measured alike.

    Args:
        out: The folder.
        alike: What must be the same in the report (the device, the data) or in its settings (sizes).

    Raises:
        ValueError: If there are results of something else.
    """
    if not (out / "results.json").exists():
        return None
    report = json.loads((out / "results.json").read_text())
    found = {key: report.get(key, report["settings"].get(key)) for key in alike}
    if found != alike:
        different = ", ".join(f"{key} {found[key]!r}" for key in alike if found[key] != alike[key])
        raise ValueError(
            f"{out} holds results with {different}, unlike this call's; give another folder, or remove this one."
        )
    return report


def write(report: dict[str, Any], out: Path) -> None:
    """The three files."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(report, indent=1))
    (out / "results.md").write_text(markdown(report))
    with (out / "results.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(Row.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(report["rows"])
