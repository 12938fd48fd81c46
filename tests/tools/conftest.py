"""What the tests of the commands share: the small runs of other folders, and how commands are started."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nda_mm.utils.files import recipe_path
from tools import prepare_data

ROOT = Path(__file__).resolve().parents[2]
for folder in ("engine", "datasets", "conversion", "studies"):
    sys.path.insert(0, str(ROOT / "tests" / folder))  # of tiny_run, small_jobs and the like


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Train in this process, in the test's folder, without the seconds in which mmengine describes the machine."""
    import mmengine.runner.runner

    monkeypatch.setattr(mmengine.runner.runner, "collect_env", dict)
    monkeypatch.chdir(tmp_path)


def save_untrained(recipe: str, path: Path, **options: Any) -> str:
    """Save an untrained model of a recipe, with options by their dotted names; the file's name."""
    import torch
    from mmengine import Config
    from mmengine.registry import MODELS, DefaultScope

    config = Config.fromfile(recipe_path(recipe))
    config.merge_from_dict(options)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=9, epoch=0)), path)
    return str(path)


@pytest.fixture(scope="session")
def untrained() -> Callable[..., str]:
    """:func:`save_untrained`."""
    return save_untrained


@pytest.fixture
def save_images(tmp_path: Path) -> Callable[..., Path]:
    """Write images of noise, 0.png and so on, into a folder of the test; the folder."""

    def save(folder: str, count: int, side: int = 20, low: int = 0, high: int = 256) -> Path:
        (tmp_path / folder).mkdir(parents=True)
        draw = np.random.default_rng(count)
        for number in range(count):
            pixels = draw.integers(low, high, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
        return tmp_path / folder

    return save


@pytest.fixture
def prepare(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run tools/prepare_data.py in this process, which must end with a status; what it prints."""

    def call(*words: object, status: int = 0) -> str:
        capsys.readouterr()
        assert prepare_data.main([str(word) for word in words]) == status
        return "".join(capsys.readouterr())

    return call


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., str]:
    """Run a script of tools/ in a process on one thread, which must end well; what it prints."""

    def call(script: str, *words: str) -> str:
        start = ["bash"] if script.endswith(".sh") else [sys.executable]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "engine")]),
            "PYTHON": sys.executable,
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
        }
        done = subprocess.run(
            [*start, str(ROOT / "tools" / script), *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout

    return call
