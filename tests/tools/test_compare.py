"""tools/compare.py on the pair of MoCo recipes of digits, as small as they get; the rest is in tests/studies."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mmpretrain")
SMALL = (
    "train_cfg.max_epochs=2",
    "train_dataloader.batch_size=16",
    "train_dataloader.dataset.indices=32",
    "model.queue_len=32",
    "model.backbone.base_channels=4",
    "model.backbone.stem_channels=4",
    "model.neck.in_channels=32",
    "custom_hooks.1.bank.indices=60",
    "custom_hooks.1.test.indices=40",
)


@pytest.mark.slow
def test_the_pair_is_compared_by_its_nearest_neighbours(tmp_path: Path, project_root: Path) -> None:
    command = [sys.executable, str(project_root / "tools" / "compare.py"), "moco_digits.py", "nda_moco_digits.py"]
    command += ["--seeds", "3", "--out", str(tmp_path), "--metrics", "knn/top1", "--cfg-options", *SMALL]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Paired differences from moco_digits" in done.stdout
    with (tmp_path / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} == {"knn/top1"}
    value = {(row["recipe"], int(row["step"])): float(row["value"]) for row in rows}
    assert sorted(value) == [(name, step) for name in ("moco_digits", "nda_moco_digits") for step in (0, 1, 2)]
    assert all(0 <= each <= 100 and each * 40 / 100 == pytest.approx(round(each * 40 / 100)) for each in value.values())
    # One seed, one network to start from.
    assert value["moco_digits", 0] == value["nda_moco_digits", 0]
