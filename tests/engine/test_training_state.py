"""What a rank must remember, besides weights and optimizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch

from nda_mm.engine.training_state import TRAINING_STATE, gather_training_state, load_rank_state, rank_state

Make = Callable[..., dict[str, Any]]


def test_waiting_gradients_counts_and_components_return(config: Make, tmp_path: Path) -> None:
    hooks = (dict(type="RankNoteHook"), dict(type="RankNoteHook"))
    runner = tiny_run.train(config(accumulate=2, stop_at=3, custom_hooks=hooks))
    state = rank_state(runner)
    assert state["inner_counts"] == {"generator": 3, "critic": 3}
    assert set(state["gradients"]) == {name for name, _ in runner.model.named_parameters()}
    assert set(state["components"]) == {"RankNoteHook", "RankNoteHook:2"}

    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    other = tiny_run.build(config("other", accumulate=2, custom_hooks=hooks))
    other.optim_wrapper = other.build_optim_wrapper(other.optim_wrapper)
    load_rank_state(other, {**loaded, "buffers": {}})
    for (name, ours), (_, theirs) in zip(other.model.named_parameters(), runner.model.named_parameters()):
        assert torch.equal(ours.grad, theirs.grad), name  # type: ignore[arg-type]
    assert other.optim_wrapper["critic"].inner_count == 3
    assert [hook.note.tolist() for hook in other.hooks if hasattr(hook, "note")] == [[3.0, 3.0]] * 2


def test_gradients_that_do_not_wait_are_not_kept(config: Make) -> None:
    cfg = config(accumulate=2, stop_at=4)
    tiny_run.train(cfg)
    checkpoint = torch.load(Path(cfg["work_dir"]) / "iter_4.pth", weights_only=True)
    (own,) = checkpoint[TRAINING_STATE]["ranks"]
    assert own["gradients"] == {}


def test_a_component_unknown_to_the_checkpoint_is_named(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = tiny_run.train(config(steps=1, custom_hooks=(dict(type="RankNoteHook"),)))
    said: list[str] = []
    monkeypatch.setattr(runner.logger, "log", lambda level, message: said.append(message))
    load_rank_state(runner, {"inner_counts": {}, "gradients": {}, "buffers": {}, "components": {}})
    assert said == ["The checkpoint holds no state of RankNoteHook for this rank; it starts afresh."]


def test_other_loops_remember_nothing(config: Make) -> None:
    runner = tiny_run.train({**config(steps=1), "train_cfg": dict(by_epoch=False, max_iters=1)})
    assert gather_training_state(runner) is None
