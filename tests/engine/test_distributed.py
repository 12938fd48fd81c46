"""Two processes on a CPU, joined by gloo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import assert_equal

# The generator's noise goes through it alone; DDP finds each part of the model by itself.
WRAPPER = dict(type="MMSeparateDistributedDataParallel", broadcast_buffers=False)


def train_two(
    work_dir: Path, processes: int = 2, script: str = "tiny_run.py", device: str = "cpu", **settings: Any
) -> str:
    """Train in processes of their own, which must succeed; what they said."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    root = str(Path(__file__).parents[2])
    launcher = "none" if processes == 1 else "pytorch"
    options = json.dumps({"work_dir": str(work_dir), "launcher": launcher, **settings})
    common = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "PYTHONWARNINGS": "ignore",
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        **({"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}),
    }
    started = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(script)), options],
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes, "\n".join(outputs)
    return "\n".join(outputs)


def results(work_dir: Path, processes: int = 2) -> list[dict[str, Any]]:
    return [torch.load(work_dir / f"weights_{rank}.pt", weights_only=True) for rank in range(processes)]


@pytest.mark.slow
def test_two_ranks_differ_where_they_should_and_resume_exactly(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(
        steps=6, validate=True, accumulate=2, wrapper=WRAPPER, custom_hooks=[dict(type="RankNoteHook")]
    )
    train_two(tmp_path / "straight", **settings)
    straight = results(tmp_path / "straight")

    # Each rank draws noise of its own, and sees data of its own: its running statistics differ. The weights agree.
    for ours, theirs in zip(straight[0]["noises"], straight[1]["noises"]):
        assert not torch.equal(ours, theirs)
    learned = [name for name in straight[0]["weights"] if "running" not in name]
    for name in learned:
        assert torch.equal(straight[0]["weights"][name], straight[1]["weights"][name]), name
    mean = "critic.layers.1.running_mean"
    assert not torch.equal(straight[0]["weights"][mean], straight[1]["weights"][mean])
    # The metric has gathered 14 samples, half of them from each.
    assert [rank["metrics"]["seen"] for rank in straight] == [14.0, 14.0]

    # Stopped after 3 of 6, with a gradient waiting on each rank.
    train_two(tmp_path / "stopped", **settings, stop_at=3)
    train_two(tmp_path / "stopped", **settings, resume=True)
    for ours, theirs in zip(results(tmp_path / "stopped"), straight):
        assert_equal(ours["weights"], theirs["weights"])
        assert_equal(dict(enumerate(ours["noises"])), dict(enumerate(theirs["noises"][3:])))  # type: ignore[arg-type]
        assert torch.equal(ours["note"], theirs["note"])
    assert torch.equal(straight[1]["note"], torch.full((2,), 12.0))

    # The same checkpoint in one process: continued, and said to be inexact.
    said = train_two(tmp_path / "stopped", processes=1, **{**settings, "wrapper": None, "steps": 8}, resume=True)
    assert "was written by 2 process(es) with batch size 4; this run has 1 with 4" in said
