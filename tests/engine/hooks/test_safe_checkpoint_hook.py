"""Checkpoints that survive a kill and a full disk."""

from __future__ import annotations

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from tiny_run import Calls, assert_equal

from nda_mm.checkpoints import read_checkpoint
from nda_mm.engine.hooks.safe_checkpoint_hook import SafeCheckpointHook
from nda_mm.engine.resume import find_resumable

Make = Callable[..., dict[str, Any]]


def names(cfg: dict[str, Any]) -> list[str]:
    return sorted(path.name for path in Path(cfg["work_dir"]).iterdir() if path.is_file() and path.suffix != ".py")


LIMITS = resource.getrlimit(resource.RLIMIT_FSIZE)


def limit(size: int = LIMITS[0]) -> None:
    """No file may grow beyond a number of bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, LIMITS[1]))


def full_disk(when: Callable[[Any], bool]) -> Calls:
    """No checkpoint can be written while a condition holds."""
    return Calls(
        before_save_checkpoint=lambda runner: limit(9000) if when(runner) else None,
        after_train_iter=lambda runner: limit(),
        after_val_epoch=lambda runner: limit(),
    )


@pytest.fixture(autouse=True)
def _unlimited() -> Any:
    yield
    limit()


def test_a_better_best_replaces_the_one_before(config: Make) -> None:
    # `seen` counts samples and never changes: the first stays the best. `score` moves.
    cfg = config(steps=4, save_every=3, validate=True, checkpoint=dict(save_best=["seen", "score"], rule="greater"))
    cfg["train_cfg"]["val_interval"] = 1
    runner = tiny_run.train(cfg)
    scores = list(runner.message_hub.get_scalar("val/score").data[0])
    best = max(range(4), key=lambda number: scores[number]) + 1
    assert [name for name in names(cfg) if name.startswith("best")] == [
        f"best_score_iter_{best}.pth",
        "best_seen_iter_1.pth",
    ]
    saved = read_checkpoint(Path(cfg["work_dir"]) / f"best_score_iter_{best}.pth", needed=("state_dict",))
    assert saved["meta"]["iter"] == best
    assert "optimizer" not in saved


@pytest.mark.slow
def test_an_unknown_best_names_the_metrics_and_loses_nothing(config: Make) -> None:
    cfg = config(steps=5, validate=True, checkpoint=dict(save_best="nothing", rule="less"))
    with pytest.raises(KeyError, match=r"save_best.*seen, score.*'nothing'.*iter_3\.pth"):
        tiny_run.train(cfg)
    cfg["default_hooks"]["checkpoint"]["save_best"] = "score"
    resumed = tiny_run.train(cfg, resume=True)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(tiny_run.train(config("plain", steps=5))))


def test_a_full_disk_costs_nothing(config: Make, caplog: pytest.LogCaptureFixture) -> None:
    cfg = config(steps=6, save_every=1, checkpoint=dict(max_keep_ckpts=2))
    runner = tiny_run.build(cfg)
    messages: list[str] = []
    kept: list[list[str]] = []
    runner.logger.log = lambda level, message, *rest: messages.append(message)  # type: ignore[method-assign]
    runner.register_hook(full_disk(lambda runner: runner.iter + 1 in (3, 4)))
    runner.register_hook(Calls(after_train_iter=lambda runner: kept.append(names(cfg)[:-1])))
    runner.train()
    both = ["iter_1.pth", "iter_2.pth"]
    assert kept == [both[:1], both, both, both, ["iter_2.pth", "iter_5.pth"], ["iter_5.pth", "iter_6.pth"]]
    failures = [message for message in messages if "could not be written" in message]
    assert len(failures) == 2
    assert "iter_3.pth of iteration 3 could not be written" in failures[0]
    assert_equal(tiny_run.weights(runner), tiny_run.weights(tiny_run.train(config("plain", steps=6))))


def test_a_full_disk_at_the_last_save_raises(config: Make) -> None:
    cfg = config(steps=3, save_every=1)
    runner = tiny_run.build(cfg)
    runner.register_hook(full_disk(lambda runner: runner.iter + 1 == 3))
    with pytest.raises(RuntimeError, match=r"iter_3\.pth"):
        runner.train()
    assert names(cfg) == ["iter_1.pth", "iter_2.pth", "last_checkpoint"]
    assert find_resumable(cfg["work_dir"]) == str(Path(cfg["work_dir"]) / "iter_2.pth")


def test_a_full_disk_keeps_the_previous_best(config: Make) -> None:
    cfg = config(steps=4, save_every=2, validate=True, checkpoint=dict(save_best="score", rule="greater"))
    cfg["train_cfg"]["val_interval"] = 1
    runner = tiny_run.build(cfg)
    runner.register_hook(full_disk(lambda runner: runner.train_loop._validated and 1 < runner.iter < 4))
    # Make every validation better than the one before.
    runner.val_evaluator.metrics[0].compute_metrics = lambda results: {"score": float(runner.iter)}
    runner.train()
    assert [name for name in names(cfg) if name.startswith("best")] == ["best_score_iter_4.pth"]
    assert runner.message_hub.get_info("best_score") == 4.0
    before_last = torch.load(Path(cfg["work_dir"]) / "iter_2.pth", weights_only=True)["message_hub"]["runtime_info"]
    assert before_last["best_score"] == 1.0
    assert Path(before_last["best_ckpt"]).name == "best_score_iter_1.pth"


def test_removes_what_a_killed_run_would_have_removed(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(*args: Any) -> None:
        raise tiny_run.Interrupted

    cfg = config(steps=5, save_every=1, checkpoint=dict(max_keep_ckpts=2, filename_tmpl="step_{}.pth"))
    others = ["best_score_step_1.pth", "iter_1.pth", "step_0.pth", "step_1-0a1b2c3d.pth"]  # none of this run's steps
    with monkeypatch.context() as patch:
        patch.setattr(SafeCheckpointHook, "_remove", kill)
        tiny_run.train(cfg)
    for name in others:
        (Path(cfg["work_dir"]) / name).write_bytes(b"")
    (Path(cfg["work_dir"]) / ".step_9.pth.4711.unfinished").write_bytes(b"half")
    assert {"step_1.pth", "step_2.pth", "step_3.pth"} <= set(names(cfg))
    tiny_run.train(cfg, resume=True)
    assert names(cfg) == sorted(["last_checkpoint", "step_4.pth", "step_5.pth", *others])


def test_settings_that_lose_checkpoints_are_refused(config: Make) -> None:
    with pytest.raises(ValueError, match="by_epoch"):
        tiny_run.train(config(steps=1, checkpoint=dict(by_epoch=True)))


def test_an_interrupt_while_a_checkpoint_is_written(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    def arm(runner: Any) -> None:
        if runner.iter == 3:
            monkeypatch.setattr("os.fsync", interrupt)

    cfg = config(steps=4, save_every=2)
    with pytest.raises(KeyboardInterrupt):
        tiny_run.train(cfg, before_train_iter=arm)
    monkeypatch.undo()
    assert sorted(path.name for path in Path(cfg["work_dir"]).glob("*iter*")) == ["iter_2.pth"]
    assert find_resumable(cfg["work_dir"]) == str(Path(cfg["work_dir"]) / "iter_2.pth")
