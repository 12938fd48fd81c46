"""Small processes in place of tools/train.py and tools/test.py, and logs as mmengine writes them.

Not a test module.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def python(code: str) -> list[str]:
    """The words that run code."""
    return [sys.executable, "-c", code]


DONE = python("pass")
FAILS = python("raise SystemExit(3)")
#: Writes what a test by mmengine writes; argument 4 is the work dir, the first value the number of tests so far.
COUNTS = python(
    "import json, pathlib, sys\n"
    "folder = pathlib.Path(sys.argv[4])\n"
    "number = len(list(folder.glob('*/*.json')))\n"
    "out = folder / f'2026_{number}'\n"
    "out.mkdir()\n"
    "(out / f'{out.name}.json').write_text(json.dumps({'net/frechet': number + 0.5, 'toy/slope': 9.0}))"
)


def write_log(folder: Path, lines: list[Any], start: str = "20260101_000000") -> None:
    """The log of a run that has started then, of entries or of text."""
    path = folder / start / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
