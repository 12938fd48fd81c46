"""``kill -9``: processes that are killed, and resumed to the same weights."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from tiny_run import assert_equal


def process(work_dir: Path, **settings: Any) -> int:
    """Train in a process; its exit status."""
    started = tiny_run.start("tiny_run.py", {"work_dir": str(work_dir), **settings})
    started.communicate()
    return started.returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        dict(workers=2, accumulate=2, validate=True, save_every=3, stop_at=7, kill="while saving", steps=9),
        dict(workers=0, accumulate=2, validate=True, epochs=True, steps=3, save_every=1, stop_at=7, kill=True),
    ],
    ids=["iterations, during a save", "epochs, in the middle of one"],
)
def test_killed_process_continues_to_the_same_weights(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = dict(settings)
    kill = {key: settings.pop(key) for key in ("stop_at", "kill")}
    if kill["kill"] == "while saving":
        kill["stop_at"] = 6
    straight = tiny_run.train(tiny_run.make_config(tmp_path / "straight", **settings))

    assert process(tmp_path / "killed", **settings, **kill) == -signal.SIGKILL
    leftovers = list((tmp_path / "killed").glob(".*.unfinished"))
    assert len(leftovers) == (kill["kill"] == "while saving")
    assert process(tmp_path / "killed", **settings, resume=True) == 0

    assert not list((tmp_path / "killed").glob(".*.unfinished"))
    resumed = torch.load(tmp_path / "killed" / "outcome_0.pt", weights_only=True)
    assert_equal(resumed["weights"], tiny_run.weights(straight))
