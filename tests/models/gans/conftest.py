"""Helpers of the models' tests, not tests: ``--doctest-modules`` would import them a second time."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package
collect_ignore_glob = ["tiny_*.py"]
