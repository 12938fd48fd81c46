"""A loss that is no number stops the run before it is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
from mmengine.hooks import RuntimeInfoHook

Make = Callable[..., dict[str, Any]]


def test_stops_with_the_term_and_the_iteration_and_saves_nothing(config: Make) -> None:
    cfg = config(steps=4, spoil_at=3, save_every=1, custom_hooks=(dict(type="nda_mm.FiniteLossHook"),))
    # The critic's step spoils the critic, and so the generator's loss, in the same iteration.
    with pytest.raises(FloatingPointError, match=r"^loss_critic is nan, loss_generator is nan at iteration 3, rank 0"):
        tiny_run.train(cfg)
    assert sorted(path.name for path in Path(cfg["work_dir"]).glob("*.pth")) == ["iter_1.pth", "iter_2.pth"]


def test_terms_can_be_left_out(config: Make) -> None:
    ignore = ["loss_critic", "loss_generator"]
    cfg = config(spoil_at=3, steps=4, custom_hooks=(dict(type="nda_mm.FiniteLossHook", ignore=ignore),))
    assert tiny_run.train(cfg).iter == 4


def test_reads_the_terms_itself_where_mmengine_keeps_no_record(config: Make) -> None:
    cfg = config(spoil_at=2, custom_hooks=(dict(type="nda_mm.FiniteLossHook"),))
    cfg["default_hooks"]["runtime_info"] = None
    runner = tiny_run.build(cfg)
    assert not any(isinstance(hook, RuntimeInfoHook) for hook in runner.hooks)
    with pytest.raises(FloatingPointError, match=r"loss_critic is nan.* at iteration 2"):
        runner.train()
