"""A model, a data set and a run small enough to be trained some hundred times in a test session.

The model has what makes resuming hard: dropout, batch normalisation, two optimizers (one with momentum), noise of its own;
the data set has augmentations that draw from python's, numpy's and torch's global generators.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package
import tiny_run


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Make the config of a run in this test's own folder."""

    def make(name: str = "run", **settings: Any) -> dict[str, Any]:
        return tiny_run.make_config(tmp_path / name, **settings)

    return make
