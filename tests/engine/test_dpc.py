"""DPC with negatives, trained by mmengine's Runner on clips through mmaction2's pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mmaction")
pytest.importorskip("sklearn")
import tiny_dpc
from tiny_run import assert_equal, hook, train, train_in_processes, weights

ADAM = dict(type="Adam", lr=1e-3, weight_decay=1e-5)
AMP = dict(type="nda_mm.BF16OptimWrapper", optimizer=ADAM)
ACCUMULATE = dict(optimizer=ADAM, accumulative_counts=2)


def run(tmp_path: Path, name: str, resume: bool = False, **settings: Any) -> Any:
    return train(tiny_dpc.make_config(tmp_path / name, **settings), resume)


def losses(runner: Any) -> list[dict[str, float]]:
    return hook(runner, "LossesHook").seen


def test_weight_zero_is_the_run_without_negatives(tmp_path):
    plain = run(tmp_path, "plain", epochs=1)
    zero = run(tmp_path, "zero", epochs=1, negative=dict(type="Stitch"), model=dict(weight=0))
    assert_equal(weights(zero), weights(plain))
    assert losses(zero) == losses(plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, dict(optim_wrapper=AMP), dict(optim_wrapper=ACCUMULATE)], ids=["", "amp", "acc"]
)
@pytest.mark.usefixtures("device", "deterministic")
def test_a_resumed_run_is_exact_from_the_middle_of_an_epoch(tmp_path, settings):
    # CUDA's gradient of a maximum pool in three dimensions adds up in whatever order it comes.
    settings = dict(
        settings, pool=False, negative=dict(type="RandomNegative", negatives=[dict(type="Stitch"), SHUFFLE])
    )
    straight = run(tmp_path, "straight", **settings)
    run(tmp_path, "stopped", stop_at=3, **settings)
    resumed = run(tmp_path, "stopped", resume=True, **settings)
    assert_equal(weights(resumed), weights(straight))
    assert losses(resumed) == losses(straight)[3:]


SHUFFLE = dict(type="ShuffleFrames")


@pytest.mark.slow
def test_two_ranks_agree_on_weights_draw_apart_and_resume_exactly(tmp_path):
    settings: dict[str, Any] = dict(script="tiny_dpc.py", negative=dict(type="Jigsaw", grid=2))
    straight, _ = train_in_processes(tmp_path / "straight", **settings)
    train_in_processes(tmp_path / "stopped", stop_at=1, **settings)
    resumed, _ = train_in_processes(tmp_path / "stopped", resume=True, **settings)
    for rank in range(2):
        assert_equal(resumed[rank]["weights"], straight[rank]["weights"])
    learnt = [{n: v for n, v in found["weights"].items() if "running" not in n} for found in straight]
    assert_equal(learnt[0], learnt[1])
    assert straight[0]["losses"] != straight[1]["losses"]  # other clips and other negatives
