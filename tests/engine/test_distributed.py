"""Two processes on a CPU, joined by gloo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import assert_equal, train_in_processes

# The generator is called without DDP's wrapper around the whole; DDP wraps each part.
WRAPPER = dict(type="MMSeparateDistributedDataParallel", broadcast_buffers=False)


@pytest.mark.slow
def test_two_ranks_differ_where_they_should_and_resume_exactly(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(steps=6, validate=True, accumulate=2, wrapper=WRAPPER)
    straight, _ = train_in_processes(tmp_path / "straight", **settings)

    # Each rank draws its own noise and sees its own data: its running statistics differ. The weights agree.
    for ours, theirs in zip(straight[0]["noises"], straight[1]["noises"]):
        assert not torch.equal(ours, theirs)
    learned = [name for name in straight[0]["weights"] if "running" not in name]
    for name in learned:
        assert torch.equal(straight[0]["weights"][name], straight[1]["weights"][name]), name
    mean = "critic.layers.1.running_mean"
    assert not torch.equal(straight[0]["weights"][mean], straight[1]["weights"][mean])
    # The metric has gathered 14 samples, half of them from each.
    assert [rank["seen"] for rank in straight] == [14.0, 14.0]

    # Stopped after 3 of 6, with accumulated gradients on each rank.
    train_in_processes(tmp_path / "stopped", **settings, stop_at=3)
    resumed, _ = train_in_processes(tmp_path / "stopped", **settings, resume=True)
    for ours, theirs in zip(resumed, straight):
        assert_equal(ours["weights"], theirs["weights"])
        assert_equal(dict(enumerate(ours["noises"])), dict(enumerate(theirs["noises"][3:])))  # type: ignore[arg-type]

    # The same checkpoint in one process: continued, with a warning that it is not exact.
    alone = dict(settings, wrapper=None, steps=8, launcher="none", resume=True)
    _, said = train_in_processes(tmp_path / "stopped", processes=1, **alone)
    assert "2 process(es) with batch size 4; this run has 1 with 4" in said
