"""The resumable loops: an interrupted run ends in the weights of one that was not."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_run
import torch
from tiny_run import assert_equal, train_in_processes

Make = Callable[..., dict[str, Any]]


EPOCHS = dict(epochs=True, steps=3)  # of 4 batches
BEST = dict(save_best="score", rule="greater")
SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("settings", "validations"),
    [
        (dict(stop_at=6, validate=True, checkpoint=BEST), 4),  # stopped before it is validated; at 3, 6, 9 and 10
        (dict(steps=6, workers=2, seed=None, stop_at=3, accumulate=2), 0),
        pytest.param(dict(stop_at=5, accumulate=3, infinite=False, validate=True), 4, marks=SLOW),
        pytest.param(dict(EPOCHS, stop_at=6, validate=True), 3, marks=SLOW),  # in the middle of the second epoch
        pytest.param(dict(EPOCHS, workers=2, seed=None, stop_at=7, accumulate=2, validate=True), 3, marks=SLOW),
        pytest.param(dict(EPOCHS, seed=None, stop_at=8), 0, marks=SLOW),  # after an epoch's last batch, before its end
        pytest.param(
            dict(EPOCHS, stop_at=9, validate=True, checkpoint=dict(by_epoch=True), save_every=1), 3, marks=SLOW
        ),
    ],
    ids=str,
)
def test_a_resumed_run_is_one_that_was_never_stopped(config: Make, settings: dict[str, Any], validations: int) -> None:
    """Weights, optimizers, reads of the data, validations, and what hooks draw."""
    noisy = [dict(type="NoisyHook")]
    stopped = config("stopped", **settings, custom_hooks=noisy)
    first = tiny_run.train(stopped)
    done = list(tiny_run.READS)
    # Without a seed, a run draws one; the run that is never stopped gets that of the first.
    never = {**settings, "seed": first.seed, "stop_at": None}
    straight = tiny_run.build(config("straight", **never, custom_hooks=noisy))
    straight.train_loop.dataloader.batch_sampler.sampler_seed = first.train_dataloader.batch_sampler.sampler_seed
    tiny_run.READS.clear()
    straight.train()
    all_reads = list(tiny_run.READS)
    resumed = tiny_run.train({**stopped, "custom_hooks": noisy}, resume=True)
    assert (resumed.epoch, resumed.iter) == (straight.epoch, straight.iter)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))
    if settings.get("checkpoint") != dict(by_epoch=True):  # else it goes back to the last epoch
        drawn = [tiny_run.hook(run, "NoisyHook").drawn for run in (straight, resumed)]
        assert len(set(drawn[0])) == len(drawn[0])
        assert drawn[1] == drawn[0][settings["stop_at"] :]
        if not settings.get("workers"):  # workers read in processes of their own
            assert done + tiny_run.READS == all_reads
    if validations:
        scores = [run.message_hub.get_scalar("val/score").data[0].tolist() for run in (straight, resumed)]
        assert scores[0] == scores[1]
        assert len(scores[0]) == validations


@pytest.mark.parametrize("settings", [dict(steps=6), dict(epochs=True, steps=2)], ids=["iterations", "epochs"])
def test_validation_and_hooks_leave_training_alone(config: Make, settings: dict[str, Any]) -> None:
    watched = config("watched", **settings, validate=True, custom_hooks=(dict(type="NoisyHook"),))
    plain = config("plain", **settings)
    assert_equal(*(tiny_run.weights(tiny_run.train(each)) for each in (watched, plain)))


def test_a_checkpoint_of_mmengines_hook_continues_with_a_warning(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = config("stopped", steps=4, stop_at=2)
    stopped["default_hooks"]["checkpoint"] = dict(type="CheckpointHook", interval=2, by_epoch=False)
    tiny_run.train(stopped)
    runner = tiny_run.build({**stopped, "custom_hooks": []}, resume=True)
    messages: list[str] = []
    monkeypatch.setattr(runner.logger, "warning", messages.append)
    tiny_run.READS.clear()
    runner.train()
    assert any("not written by SafeCheckpointHook" in message for message in messages)
    assert (runner.iter, len(tiny_run.READS)) == (4, 8)


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self) -> Any:
        yield from range(8)


def test_data_without_positions_are_refused(config: Make) -> None:
    runner = tiny_run.build(config())
    runner._train_dataloader = torch.utils.data.DataLoader(Stream(), batch_size=2)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="Stream"):
        runner.train()
    cfg = config("endless", epochs=True)
    cfg["train_dataloader"]["sampler"]["type"] = "InfiniteSampler"
    with pytest.raises(ValueError, match="InfiniteSampler"):
        tiny_run.train(cfg)
    cfg = config("short", length=3, infinite=False)
    cfg["train_dataloader"]["drop_last"] = True
    with pytest.raises(ValueError, match="no batch"):
        tiny_run.train(cfg)


@pytest.mark.parametrize("max_iters", [0, 1.5])
def test_lengths_are_whole_numbers_above_0(config: Make, max_iters: float) -> None:
    with pytest.raises(ValueError, match="max_iters"):
        tiny_run.train(config(steps=max_iters))


@pytest.mark.slow
def test_a_process_killed_while_saving_continues_to_the_same_weights(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(workers=2, save_every=3, steps=9, accumulate=2, validate=True)
    straight = tiny_run.train(tiny_run.make_config(tmp_path / "straight", **settings))

    def process(**more: Any) -> int:
        started = tiny_run.start("tiny_run.py", {"work_dir": str(tmp_path / "killed"), **settings, **more})
        started.communicate()
        return started.returncode

    def leftovers() -> int:
        return len(list((tmp_path / "killed").glob(".*.unfinished")))

    assert process(stop_at=6, kill=True) == -signal.SIGKILL
    assert leftovers() == 1
    assert process(resume=True) == 0
    assert leftovers() == 0
    resumed = torch.load(tmp_path / "killed" / "outcome_0.pt", weights_only=True)
    assert_equal(resumed["weights"], tiny_run.weights(straight))


# The generator is called without DDP's wrapper around the whole; DDP wraps each part.
WRAPPER = dict(type="MMSeparateDistributedDataParallel", broadcast_buffers=False)


@pytest.mark.slow
def test_two_ranks_differ_where_they_should_and_resume_exactly(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(steps=6, validate=True, accumulate=2, wrapper=WRAPPER)
    straight, _ = train_in_processes(tmp_path / "straight", **settings)

    # Each rank draws its own noise and sees its own data: its running statistics differ. The weights agree.
    for ours, theirs in zip(straight[0]["noises"], straight[1]["noises"]):
        assert not torch.equal(ours, theirs)
    assert_equal(*(tiny_run.learnt(rank["weights"]) for rank in straight))
    mean = "critic.1.running_mean"
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
