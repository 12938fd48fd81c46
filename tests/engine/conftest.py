"""Fixtures of the engine's tests; the run that they train is in tiny_run.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine.runner.runner
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # test modules are imported without a package
import tiny_run

from nda_mm.compat import allow_safe_globals

allow_safe_globals()  # the tests look into checkpoints themselves

# Helpers, not tests: `--doctest-modules` would import them a second time, and their classes would be registered twice.
collect_ignore_glob = ["tiny_*.py"]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Any:
    """Leave out the report of compilers and drivers, which takes longer than a run; one thread in every test."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mmengine.runner.runner, "collect_env", dict)
        yield
    torch.set_num_threads(threads)


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Make the config of a run in this test's own folder."""

    def make(name: str = "run", **settings: Any) -> dict[str, Any]:
        return tiny_run.make_config(tmp_path / name, **settings)

    return make
