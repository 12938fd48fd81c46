"""The GAN recipe: resumed exactly, with EMA, curriculum and mixed precision; and in two processes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mmengine.runner.amp
import pytest
import tiny_run
import torch
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from tiny_run import assert_equal, train_in_processes

from nda_mm.engine.launch import to_channels_last

pytest.importorskip("mmagic", reason="the recipe needs mmagic")
pytest.importorskip("sklearn", reason="the recipe's digits come with scikit-learn")
import tiny_gan


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stop_at", "accumulate", "dtype"), [(2, 1, "bfloat16"), (3, 2, "bfloat16"), (2, 1, "float16")]
)
@pytest.mark.usefixtures("deterministic")
def test_two_and_two_steps_are_four(
    tmp_path: Path, device: str, stop_at: int, accumulate: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = dict(accumulate=accumulate, amp_dtype=dtype)
    if dtype == "float16" and device == "cpu":  # which torch can scale and autocast, and mmengine and --amp refuse
        monkeypatch.setattr(amp_optimizer_wrapper, "is_cuda_available", lambda: True)
        monkeypatch.setattr(amp_optimizer_wrapper, "GradScaler", partial(torch.amp.GradScaler, "cpu"))
        monkeypatch.setattr(mmengine.runner.amp, "autocast", partial(torch.autocast, "cpu"))
        scaled = dict(type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")
        by_hand = {f"optim_wrapper.{part}.{k}": v for part in ("generator", "discriminator") for k, v in scaled.items()}
        settings.update(amp_dtype=None, **by_hand)
    tiny_gan.train(tmp_path / "straight", **settings)
    tiny_gan.train(tmp_path / "stopped", stop_at=stop_at, **settings)
    tiny_gan.train(tmp_path / "stopped", resume=True, **settings)
    ended = tiny_gan.assert_same_ends(tmp_path / "stopped", tmp_path / "straight")
    weights = ended["state_dict"]
    assert any("generator_ema" in name for name in weights)
    assert [int(value) for name, value in weights.items() if "negative" in name and "iteration" in name]
    start = torch.load(tmp_path / "stopped" / f"iter_{stop_at}.pth", weights_only=True)["state_dict"]
    changed = [name for name in weights if not torch.equal(weights[name], start[name])]
    for part in ("generator.", "generator_ema.", "discriminator."):
        assert any(name.startswith(part) for name in changed), part
    scalers = [name for name in tiny_gan.tensors(ended["optimizer"]) if "loss_scaler" in name]
    assert bool(scalers) == (dtype == "float16")


def test_the_memory_format_is_set_before_the_model_is_wrapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DDP takes the strides of the weights when it is made, and scrambles gradients of others."""
    wrapped: list[bool] = []

    def wrap(runner: Runner, settings: Any, model: torch.nn.Module) -> torch.nn.Module:
        wrapped.extend(weight.is_contiguous(memory_format=torch.channels_last) for weight in convolutions(model))
        return model

    monkeypatch.setattr(Runner, "wrap_model", wrap)
    runners = [tiny_gan.build(tmp_path / name, channels_last=name == "last") for name in ("last", "first")]
    assert wrapped == [True] * (len(wrapped) // 2) + [False] * (len(wrapped) // 2) and len(wrapped) > 20
    for runner in runners:
        torch.manual_seed(0)
        runner._init_model_weights()
    last, first = (list(convolutions(runner.model)) for runner in runners)
    assert all(torch.equal(one, other) for one, other in zip(last, first, strict=True))
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in last)


def test_convolutions_that_overrun_memory_keep_the_channels_first() -> None:
    """oneDNN writes beyond the gradient of their input: processes die later, in some other place."""
    for channels, stride, kept in ((4, 2, True), (15, 3, True), (4, 1, False), (16, 2, False)):
        layer = torch.nn.Conv2d(channels, 8, 1, stride=stride)
        first = copy.deepcopy(layer)
        for _ in range(2):
            to_channels_last(layer)
        assert len(layer._forward_pre_hooks) == kept
        images = torch.randn(2, channels, 12, 12).contiguous(memory_format=torch.channels_last).requires_grad_()
        output = layer(images)
        assert output.is_contiguous() == kept
        output.square().sum().backward()
        first(images.detach().contiguous()).square().sum().backward()
        torch.testing.assert_close(layer.weight.grad, first.weight.grad)


def convolutions(model: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Weights whose memory formats differ."""
    return (value for value in model.parameters() if value.ndim == 4 and min(value.shape[1:]) > 1)


@pytest.mark.slow
def test_memory_formats_differ_by_rounding_and_go_on_from_each_other(tmp_path: Path) -> None:
    """By its old name the switch is heeded, too."""
    off = {"by the switch": {"channels_last": False}, "first": {"model.channels_last": False}}
    terms = {}
    for name, settings in (("last", {}), *off.items()):
        runner = tiny_gan.train(tmp_path / name, amp_dtype=None, **{"train_cfg.max_iters": 1}, **settings)
        weights = list(convolutions(runner.model))
        assert len(weights) > 10
        assert {value.is_contiguous(memory_format=torch.channels_last) for value in weights} == {name == "last"}
        scalars = runner.message_hub.log_scalars
        terms[name] = {key: scalars[f"train/{key}"].current() for key in ("loss_disc_real", "logit_negative")}
    assert terms["by the switch"] == terms["first"] == pytest.approx(terms["last"], rel=1e-4)
    for name, settings in (("last", {"channels_last": False}), ("first", {})):
        resumed = tiny_gan.train(tmp_path / name, resume=True, amp_dtype=None, **{"train_cfg.max_iters": 2}, **settings)
        assert resumed.iter == 2


@pytest.mark.gpu
@pytest.mark.usefixtures("deterministic")
def test_a_resumed_run_with_cuda_graphs_is_exact(tmp_path: Path) -> None:
    """The captured optimizers count their steps on the device; a checkpoint of theirs goes on without graphs, too."""
    settings = {"model.cuda_graphs": True, "train_cfg.max_iters": 16}
    tiny_gan.train(tmp_path / "straight", **settings)
    tiny_gan.train(tmp_path / "stopped", stop_at=8, **settings)
    resumed = tiny_gan.train(tmp_path / "stopped", resume=True, **settings)
    assert resumed.model.graphed["discriminator"].replays
    tiny_gan.assert_same_ends(tmp_path / "stopped", tmp_path / "straight", at=16)
    settings = {"model.cuda_graphs": False, "train_cfg.max_iters": 17}
    resumed = tiny_gan.train(tmp_path / "stopped", resume=True, **settings)
    for wrapper in resumed.optim_wrapper.values():
        assert {state["step"].device.type for state in wrapper.optimizer.state.values()} == {"cpu"}


@pytest.mark.slow
@pytest.mark.usefixtures("deterministic")
def test_one_process_of_a_launcher_trains_as_one_without(tmp_path: Path, device: str) -> None:
    """Over NCCL on a GPU, over gloo on a CPU: the wrappers, the exchange of gradients and the seeds of ranks."""
    plain = tiny_gan.train(tmp_path / "plain")
    weights = {name: value.cpu() for name, value in tiny_run.weights(plain).items()}
    assert next(plain.model.parameters()).device.type == device
    (alone,), _ = train_in_processes(tmp_path / "alone", "tiny_gan.py", processes=1, device=device)
    assert_equal(alone["weights"], weights)


@pytest.mark.slow
def test_two_ranks(tmp_path: Path) -> None:
    straight, _ = train_in_processes(tmp_path / "straight", "tiny_gan.py")
    # Ranks draw their own noise, and of the same images make different negatives.
    assert not torch.equal(straight[0]["noise"], straight[1]["noise"])
    assert not torch.equal(straight[0]["negatives"], straight[1]["negatives"])
    # They agree on what they learn; the generator's running statistics are each rank's own.
    learnt = [tiny_run.learnt(rank["weights"]) for rank in straight]
    assert len(learnt[0]) > 50
    assert_equal(*learnt)
    # The discriminator's gradients over two halves, averaged by DDP, are those of the whole batch in one process.
    for rank in straight:
        assert rank["gradients"].keys() == rank["gradients_of_both"].keys()
        for name, gradient in rank["gradients"].items():
            torch.testing.assert_close(gradient, rank["gradients_of_both"][name], rtol=1e-4, atol=1e-5)
    assert max(float(gradient.abs().max()) for gradient in straight[0]["gradients"].values()) > 1e-2
    # Resumed, each rank goes on with its own state.
    train_in_processes(tmp_path / "stopped", "tiny_gan.py", stop_at=2)
    resumed, _ = train_in_processes(tmp_path / "stopped", "tiny_gan.py", resume=True)
    for ours, theirs in zip(resumed, straight):
        assert_equal(ours["weights"], theirs["weights"])
        assert torch.equal(ours["noise"], theirs["noise"])
        assert torch.equal(ours["negatives"], theirs["negatives"])
