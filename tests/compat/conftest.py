"""Makes the helpers beside these tests importable; test modules are imported without a package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
