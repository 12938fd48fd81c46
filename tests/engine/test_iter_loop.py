"""ExactIterLoop: a resumed run is the run that was never stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny_run
import torch
from tiny_run import assert_equal

Make = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    "settings",
    [
        dict(workers=0, seed=3, stop_at=5),
        dict(workers=2, seed=None, stop_at=7, accumulate=2),
        pytest.param(dict(workers=2, seed=3, stop_at=5, validate=True), marks=pytest.mark.slow),
        pytest.param(dict(workers=0, seed=None, stop_at=6, validate=True, accumulate=2), marks=pytest.mark.slow),
        pytest.param(
            dict(workers=0, seed=3, stop_at=5, accumulate=3, infinite=False, validate=True), marks=pytest.mark.slow
        ),
    ],
    ids=lambda settings: "-".join(f"{key}={value}" for key, value in settings.items()),
)
def test_resumed_run_ends_in_the_same_weights(config: Make, settings: dict[str, Any]) -> None:
    stopped = config("stopped", **settings)
    first = tiny_run.train(stopped)
    # A run without a seed draws one; the run that is never stopped must be given the same, to be compared.
    sampler_seed = first.train_dataloader.batch_sampler.sampler_seed
    straight = tiny_run.build(config("straight", **{**settings, "seed": first.seed, "stop_at": None}))
    straight.train_loop.dataloader.batch_sampler.sampler_seed = sampler_seed
    straight.train()

    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)

    assert resumed.iter == straight.iter == 10
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))


def test_the_comparison_would_notice_mmengines_own_loop(config: Make) -> None:
    stock = dict(train_cfg=dict(by_epoch=False, max_iters=10))
    straight = tiny_run.train({**config("straight"), **stock})
    stopped = {**config("stopped", stop_at=5), **stock}
    tiny_run.train(stopped)
    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)
    assert resumed.iter == straight.iter
    with pytest.raises(AssertionError):
        assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))


def test_validation_hooks_and_workers_leave_training_alone(config: Make) -> None:
    plain = tiny_run.weights(tiny_run.train(config("plain")))
    watched = config("watched", validate=True, workers=2, custom_hooks=(dict(type="NoisyHook"),))
    assert_equal(tiny_run.weights(tiny_run.train(watched)), plain)


def test_hooks_draw_different_numbers_in_each_iteration_and_the_same_ones_when_resumed(config: Make) -> None:
    noisy = (dict(type="NoisyHook"),)
    straight = tiny_run.train(config("straight", custom_hooks=noisy))
    stopped = config("stopped", custom_hooks=noisy, stop_at=5)
    tiny_run.train(stopped)
    resumed = tiny_run.train({**stopped, "custom_hooks": list(noisy)}, resume=True)
    drawn = [next(hook.drawn for hook in run.hooks if hasattr(hook, "drawn")) for run in (straight, resumed)]
    assert len(set(drawn[0])) == 10
    assert drawn[1] == drawn[0][5:]


def test_seeds_matter(config: Make) -> None:
    one, other = (tiny_run.weights(tiny_run.train(config(str(seed), seed=seed, steps=2))) for seed in (3, 4))
    assert not torch.equal(one["generator.layers.0.weight"], other["generator.layers.0.weight"])


@pytest.mark.parametrize("infinite", [True, False])
def test_resuming_reads_no_earlier_batch(config: Make, infinite: bool) -> None:
    straight = config("straight", infinite=infinite)
    tiny_run.train(straight)
    all_reads = list(tiny_run.READS)
    stopped = config("stopped", infinite=infinite, stop_at=6)
    tiny_run.train(stopped)
    done = list(tiny_run.READS)
    tiny_run.train({**stopped, "custom_hooks": []}, resume=True)
    # 14 samples in batches of 4 end in a batch of 2, unless the sampler has no end.
    assert len(all_reads) == (40 if infinite else 36)
    assert done + tiny_run.READS == all_reads


def test_a_validation_that_the_interruption_prevented_is_made_up_for(config: Make) -> None:
    # The run is stopped after the checkpoint of iteration 6 is written, and before iteration 6 is validated.
    settings = dict(validate=True, checkpoint=dict(save_best="score", rule="greater"))
    straight = tiny_run.train(config("straight", **settings))
    stopped = config("stopped", stop_at=6, **settings)
    tiny_run.train(stopped)
    resumed = tiny_run.train({**stopped, "custom_hooks": []}, resume=True)
    scores = [run.message_hub.get_scalar("val/score").data[0].tolist() for run in (straight, resumed)]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 4  # iterations 3, 6, 9 and the last, 10
    assert straight.message_hub.get_info("best_score") == resumed.message_hub.get_info("best_score")


def test_a_checkpoint_of_mmengines_hook_continues_with_a_warning(
    config: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = config("stopped", stop_at=5)
    stopped["default_hooks"]["checkpoint"] = dict(type="CheckpointHook", interval=5, by_epoch=False)
    tiny_run.train(stopped)
    runner = tiny_run.build({**stopped, "custom_hooks": []}, resume=True)
    said: list[str] = []
    monkeypatch.setattr(runner.logger, "log", lambda level, message: said.append(message))
    tiny_run.READS.clear()
    runner.train()
    assert any("was not written by SafeCheckpointHook" in message for message in said)
    assert runner.iter == 10
    assert len(tiny_run.READS) == 20


def test_rejects_what_has_no_place_to_continue_from(config: Make) -> None:
    cfg = config()
    cfg["train_cfg"]["max_iters"] = 0
    with pytest.raises(ValueError, match="max_iters must be a whole number above 0, but got 0"):
        tiny_run.build(cfg).train()

    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self) -> Any:
            yield from range(8)

    runner = tiny_run.build(config("other"))
    runner._train_dataloader = torch.utils.data.DataLoader(Stream(), batch_size=2)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="need a map-style data set"):
        runner.train()


def test_a_loader_without_a_batch_is_named(config: Make) -> None:
    cfg = config(length=3, infinite=False)
    cfg["train_dataloader"]["drop_last"] = True
    with pytest.raises(ValueError, match="The training loader gave no batch: 3 samples do not fill one"):
        tiny_run.train(cfg)
