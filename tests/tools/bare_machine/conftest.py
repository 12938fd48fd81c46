"""The scripts import each other by the name of the file beside them."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = str(Path(__file__).resolve().parents[3] / "tools" / "bare_machine")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)
