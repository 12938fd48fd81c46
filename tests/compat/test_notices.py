"""What the hosts say that nobody can act on is silent, and nothing else is."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import FileClient
from mmengine.logging import MMLogger, print_log
from mmengine.optim import StepLR

from nda_mm.compat.notices import quiet_loggers, silence_warnings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MMLogger, "__init__", MMLogger.__init__)


@pytest.fixture
def heard() -> Iterator[list[warnings.WarningMessage]]:
    """What is warned of with Python's own filters and ours."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.resetwarnings()
        silence_warnings()
        yield heard


def test_warnings_of_the_hosts_are_silent(heard: list[warnings.WarningMessage]) -> None:
    cnn = pytest.importorskip("mmcv.cnn")
    cnn.ConvModule(1, 1, 1, bias=True, norm_cfg=dict(type="BN"))
    MMLogger.get_instance("twice", log_level="INFO")
    MMLogger.get_instance("twice", log_level="INFO")
    torch.utils._pytree._register_pytree_node(type("Node", (), {}), lambda node: ([], None), lambda *_: None)
    StepLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0), step_size=1).step()
    if hasattr(np, "bool8"):
        np.bool8  # noqa: B018
    assert [str(each.message) for each in heard] == []


def test_other_warnings_are_heard_and_all_where_python_is_asked_for_them(heard: list[warnings.WarningMessage]) -> None:
    warnings.warn("mine is deprecated", FutureWarning, stacklevel=1)
    warnings.filterwarnings("always", category=FutureWarning)  # as -W always::FutureWarning, in front of all others
    silence_warnings()
    torch.utils._pytree._register_pytree_node(type("Node", (), {}), lambda node: ([], None), lambda *_: None)
    assert len(heard) == 2


@pytest.mark.parametrize("dumps", [False, True])
def test_records_are_dropped_and_dumps_written_to_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], dumps: bool
) -> None:
    for _ in range(2):
        quiet_loggers(dumps=dumps)
    MMLogger.get_instance("quiet", log_file=str(tmp_path / "log.txt"), log_level="INFO")
    FileClient(backend="disk")  # warns twice
    print_log("Config:\nmodel = 1", "current")
    print_log("mine", "current", logging.WARNING)
    terminal, file = capsys.readouterr().out, (tmp_path / "log.txt").read_text()
    assert "deprecated" not in terminal + file
    assert "mine" in terminal and "mine" in file
    assert "model = 1" in file and ("model = 1" in terminal) != dumps


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("nda_biggan_digits.py", ["train_cfg.max_iters=2", "val_cfg=None"]),
        ("nda_moco_digits.py", ["train_cfg.max_epochs=1"]),
        ("nda_dpc_digits.py", ["train_cfg.max_epochs=1", "train_dataloader.dataset.num_clips=8"]),
        ("detection_digits_scenes.py", ["train_cfg.max_epochs=1", "val_cfg=None"]),
    ],
)
def test_a_recipe_has_no_other_warnings(tmp_path: Path, recipe: str, options: list[str]) -> None:
    pytest.importorskip({"nda_b": "mmagic", "nda_m": "mmpretrain", "nda_d": "mmaction", "detec": "mmdet"}[recipe[:5]])
    command = [sys.executable, str(ROOT / "tools" / "train.py"), recipe, "--cfg-options", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert [line for line in done.stderr.splitlines() if not line.startswith("loading ")] == []
    assert "WARNING" not in done.stdout
