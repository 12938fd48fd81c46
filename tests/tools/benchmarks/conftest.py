"""The benchmarks import each other as scripts do, by the name of the file beside them."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

import mmengine.runner.runner
import pytest
import torch

FOLDER = str(Path(__file__).resolve().parents[3] / "tools" / "benchmarks")
if FOLDER not in sys.path:
    sys.path.append(FOLDER)


#: mmengine takes a GPU wherever there is one, so what runs its Runner is not tested on that machine's CPU.
ONLY_CPU = pytest.mark.skipif(torch.cuda.is_available(), reason="mmengine would take the GPU")


@pytest.fixture
def small_on_cpu(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """Options that make the CIFAR-10 BigGAN's run one of milliseconds."""
    monkeypatch.setattr(mmengine.runner.runner, "collect_env", dict)
    return Namespace(device="cpu", width=1, batch=2, threads=None, data_root="none", made=16, workers=0)


@pytest.fixture(params=[pytest.param("cpu", marks=ONLY_CPU), pytest.param("cuda", marks=pytest.mark.gpu)])
def small(request: pytest.FixtureRequest, small_on_cpu: Namespace) -> Namespace:
    """The same, on each device."""
    small_on_cpu.device = request.param
    return small_on_cpu
