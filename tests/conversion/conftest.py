"""The networks that are carried from host to host are built in tiny_backbones.py."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))  # the runs that the check hooks stop
sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package

collect_ignore_glob = ["tiny_*.py"]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Any:
    """Leave out the report of compilers and drivers, which takes longer than a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mmengine.runner.runner.collect_env", dict)
        yield
