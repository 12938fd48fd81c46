"""Runs without any component of this package, with the one line that applies the workarounds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

LINE = "custom_imports = dict(imports=['nda_mm.compat.auto'])\n"
RUN = """
import sys
from mmengine.config import Config
from mmengine.runner import Runner
Runner.from_cfg(Config.fromfile(sys.argv[1])).train()
"""
#: mmpretrain's own recipe, whose collate function bears the scope that it is inherited from, made small.
MOCO = """
_base_ = 'mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py'
model = dict(
    queue_len=4, feat_dim=4, head=dict(temperature=0.2),
    backbone=dict(_delete_=True, type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
    neck=dict(in_channels=32, hid_channels=4, out_channels=4),
)
view = [dict(type='RandomResizedCrop', scale=16), dict(type='RandomFlip', prob=0.5)]
train_dataloader = dict(
    batch_size=2, num_workers=0, persistent_workers=False,
    dataset=dict(
        _delete_=True, type='CustomDataset', data_root='images', with_label=False,
        pipeline=[dict(type='LoadImageFromFile'), dict(type='MultiView', num_views=2, transforms=[view]),
                  dict(type='PackInputs')],
    ),
)
work_dir = 'work'
"""


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_a_stock_baseline_trains_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("mmpretrain")
    from PIL import Image

    (tmp_path / "images").mkdir()
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "stock.py").write_text(MOCO + "train_cfg = dict(max_epochs=1)\n")
    assert run(tmp_path, "-c", RUN, "stock.py").returncode != 0
    for epochs in (1, 2):
        more = f"train_cfg = dict(max_epochs={epochs})\nresume = {epochs > 1}\n"
        (tmp_path / "stock.py").write_text(MOCO + LINE + more)
        done = run(tmp_path, "-c", RUN, "stock.py")
        assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "work" / "epoch_2.pth").is_file()
    assert "resumed epoch: 1" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_tool_is_started_with_the_workarounds(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "beside.py").write_text("")
    (tmp_path / "tools" / "tool.py").write_text(
        "import sys, beside\nfrom mmengine.config import Config\n"
        "print(__name__, sys.argv, Config.fromfile(sys.argv[1]).default_scope)"
    )
    (tmp_path / "mine.py").write_text("_base_ = 'nda_mm::biggan_cifar10.py'\n")
    assert run(tmp_path, "tools/tool.py", "mine.py").returncode != 0
    done = run(tmp_path, "-m", "nda_mm.compat.auto", "tools/tool.py", "mine.py")
    assert done.stdout == "__main__ ['tools/tool.py', 'mine.py'] mmagic\n", done.stderr
    assert run(tmp_path, "-m", "nda_mm.compat.auto").returncode != 0
