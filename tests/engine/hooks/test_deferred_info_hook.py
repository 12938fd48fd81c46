"""Terms that come to the host in bundles: the log and the checkpoints of mmengine's own hook."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_run
import torch

from nda_mm.engine.hooks.deferred_info_hook import _on_host

Make = Callable[..., dict[str, Any]]
FINITE = (dict(type="nda_mm.FiniteLossHook"),)


def deferred(cfg: dict[str, Any], **settings: Any) -> dict[str, Any]:
    cfg["default_hooks"]["runtime_info"] = dict(type="nda_mm.DeferredInfoHook", **settings)
    return cfg


def records(runner: Any) -> dict[str, np.ndarray]:
    scalars = runner.message_hub.log_scalars
    return {name: kept.data[0] for name, kept in scalars.items() if not name.endswith("time")}


@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.slow
def test_the_record_is_the_hosts(config: Make, epochs: bool) -> None:
    settings = dict(validate=True, epochs=epochs, steps=3 if epochs else 10)
    theirs = records(tiny_run.train(config("theirs", **settings)))
    ours = records(tiny_run.train(deferred(config("ours", **settings), interval=4)))
    assert ours.keys() == theirs.keys() and len(ours["train/loss_critic"]) >= 10
    for name, values in theirs.items():
        np.testing.assert_array_equal(ours[name], values, err_msg=name)


def test_terms_wait_until_somebody_looks(config: Make) -> None:
    on_record = []
    cfg = deferred(config(steps=11, save_every=3), interval=4)
    tiny_run.train(
        cfg, after_train_iter=lambda runner: on_record.append(len(records(runner).get("train/loss_critic", [])))
    )
    # At its own multiples (4, 8), at those of the checkpoints and validations (3), and at the end.
    assert on_record == [0, 0, 3, 4, 4, 6, 6, 8, 9, 9, 11]


def test_histories_are_bounded_and_keep_the_last(config: Make) -> None:
    runner = tiny_run.train(deferred(config("bounded", steps=9), interval=2, history=4))
    assert {kept.max_length for kept in runner.message_hub.log_scalars.values()} == {4}
    reported = tiny_run.losses(runner)[-4:]
    for name in ("loss_critic", "loss_generator"):
        assert records(runner)[f"train/{name}"].tolist() == [each[name] for each in reported]


def test_a_term_that_is_no_number_is_found_in_its_bundle(config: Make) -> None:
    cfg = config(steps=5, spoil_at=3, save_every=4, custom_hooks=FINITE)
    with pytest.raises(FloatingPointError, match="^loss_critic is nan, loss_generator is nan at iteration 3,"):
        tiny_run.train(deferred(cfg, interval=100))
    assert not list(Path(cfg["work_dir"]).glob("*.pth"))


@pytest.mark.parametrize("spoil_at", [-1, 2])
def test_a_sudden_checkpoint_holds_what_waited_unless_it_is_not_finite(config: Make, spoil_at: int) -> None:
    """As on a signal: no interval foretells it."""

    def save(runner: Any) -> None:
        if runner.iter + 1 == 3:
            tiny_run.hook(runner, "SafeCheckpointHook")._save_checkpoint(runner)

    cfg = deferred(config(steps=4, spoil_at=spoil_at, custom_hooks=FINITE), interval=100)
    if spoil_at > 0:
        with pytest.raises(FloatingPointError, match="loss_critic is nan.* at iteration 2,"):
            tiny_run.train(cfg, after_train_iter=save)
        assert not list(Path(cfg["work_dir"]).glob("*.pth"))
    else:
        tiny_run.train(cfg, after_train_iter=save)
        saved = torch.load(Path(cfg["work_dir"]) / "iter_3.pth", weights_only=True)["message_hub"]
        assert len(saved["log_scalars"]["train/loss_critic"].data[0]) == 3


def test_numbers_are_those_of_item() -> None:
    kinds = [torch.float32, torch.float64, torch.bfloat16, torch.int64] * 2
    terms = [(str(n), torch.tensor([12.34 + n]).to(kind).reshape([1] * (n % 3))) for n, kind in enumerate(kinds)]
    assert _on_host([*terms, ("plain", 0.25)]) == [*((name, term.item()) for name, term in terms), ("plain", 0.25)]
