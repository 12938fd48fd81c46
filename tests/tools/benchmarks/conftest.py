"""The benchmarks import each other as scripts do, by the name of the file beside them."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import mmengine.runner.runner
import pytest

FOLDER = str(Path(__file__).resolve().parents[3] / "tools" / "benchmarks")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Options that make the CIFAR-10 BigGAN's run one of milliseconds, on the CPU."""
    monkeypatch.setattr(mmengine.runner.runner, "collect_env", dict)
    return Namespace(device="cpu", width=1, batch=2, threads=None, data_root="none", made=16, workers=0)
