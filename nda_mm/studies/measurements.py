"""Measurements of trained runs by ``tools/test.py``: each a process of its own, kept until the checkpoint changes."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nda_mm.studies.processes import run_logged, run_side_by_side
from nda_mm.studies.training_jobs import digest, resolve
from nda_mm.utils.files import write_text_atomically

__all__ = ["Measurement", "last_checkpoint", "measure_all", "measured"]


@dataclass(frozen=True)
class Measurement:
    """One checkpoint, and what it is measured by.

    Args:
        config: The config's file.
        checkpoint: Named after its step, as mmengine does: ``iter_5000.pth``.
        folder: The work dir.
        label: What to call it in messages.
        cfg_options: ``K=V`` words.
    """

    config: str
    checkpoint: Path
    folder: Path
    label: str
    cfg_options: tuple[str, ...] = ()

    def settings(self) -> dict[str, Any]:
        """What the values belong to."""
        return dict(
            config=digest(resolve(self.config, self.cfg_options)),
            checkpoint=self.checkpoint.name,
            written=self.checkpoint.stat().st_mtime_ns,
        )


def last_checkpoint(run: Path) -> Path:
    """The last checkpoint of a work dir.

    Raises:
        ValueError: If there is none.
    """
    record = run / "last_checkpoint"
    if record.is_file():
        named = Path(record.read_text().strip())
        for path in (run / named.name, named):  # the folder may have been moved
            if path.is_file():
                return path
    raise ValueError(f"there is no checkpoint in {run} to be measured")


def measure_all(measurements: Sequence[Measurement], command: Sequence[str], jobs: int = 1) -> list[Measurement]:
    """Measure what has not been measured, ``jobs`` at a time, and go on after a failure.

    Args:
        measurements: In this order.
        command: Words that start the test of a config and a checkpoint, for example ``[python, 'tools/test.py']``.
        jobs: At least 1.

    Returns:
        Those that failed.
    """

    # Here, since Python 3.11 can't parse several configs at once: ast.parse in threads may raise a SystemError.
    wanted = [(measurement, measurement.settings()) for measurement in measurements]

    def measure(item: tuple[Measurement, dict[str, Any]], stopping: threading.Event) -> bool:
        measurement, settings = item
        folder = measurement.folder
        kept = folder / "measured.json"
        if kept.is_file() and json.loads(kept.read_text())["settings"] == settings:
            return True
        if stopping.is_set():
            print(f"{measurement.label}: not measured", flush=True)
            return True
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "output.txt"
        print(f"{measurement.label}: measuring (output in {log})", flush=True)
        words = [*command, measurement.config, str(measurement.checkpoint), "--work-dir", str(folder)]
        words += ["--cfg-options", *measurement.cfg_options] if measurement.cfg_options else []
        done = run_logged(words, log, stopping, name=measurement.label)
        if done:
            write_text_atomically(
                kept, json.dumps(dict(settings=settings, values=_newest_values(folder)), indent=2) + "\n"
            )
        return done is not False

    return [measurement for measurement, _ in run_side_by_side(measure, wanted, jobs)]


def measured(folder: Path) -> tuple[int, dict[str, float]] | None:
    """Step and values of the last measurement into a folder, None if there is none."""
    path = folder / "measured.json"
    if not path.is_file():
        return None
    content = json.loads(path.read_text())
    step = re.search(r"(\d+)$", Path(content["settings"]["checkpoint"]).stem)
    return int(step[1]) if step else 0, content["values"]


def _newest_values(folder: Path) -> dict[str, float]:
    """What mmengine has written of the newest test."""
    files = [path for path in folder.glob("*/*.json") if path.stem == path.parent.name]
    if not files:
        raise ValueError(f"the test into {folder} has left no values")
    return json.loads(max(files, key=lambda path: path.stat().st_mtime_ns).read_text())
