"""The benchmarks import each other as scripts do, by the name of the file beside them."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = str(Path(__file__).resolve().parents[3] / "tools" / "benchmarks")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)
