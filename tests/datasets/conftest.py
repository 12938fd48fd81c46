"""Where the helpers of these tests are found."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package

collect_ignore_glob = ["tiny_*.py"]  # helpers, not tests
