"""Checkpoints of mmengine load with ``weights_only=True``, and nothing in a checkpoint runs."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.checkpoint import load_from_local
from torch import Tensor, nn

from nda_mm.compat import allow_safe_globals, apply_patches
from nda_mm.compat.safe_load import SafeGlobals, narrow_getattr


@pytest.fixture(autouse=True)
def no_safe_globals() -> Iterator[None]:
    """Torch as it is before anybody allowed anything."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    loader, CheckpointLoader._schemes[""] = CheckpointLoader._schemes[""], load_from_local  # without checked-load
    yield
    CheckpointLoader._schemes[""] = loader
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def saved(content: Any, **kwargs: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file, **kwargs)
    file.seek(0)
    return file


def log_buffer() -> HistoryBuffer:
    buffer = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        buffer.update(value)
    return buffer


def test_the_fault_is_there_and_the_patch_removes_it() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"HistoryBuffer|builtins\.getattr"):
        torch.load(saved(log_buffer()), weights_only=True)
    assert SafeGlobals().needed()
    assert "safe-globals" in apply_patches()
    assert not SafeGlobals().needed()
    loaded = torch.load(saved(log_buffer()), weights_only=True)
    assert (loaded.mean(), loaded.max(), loaded.min(), loaded.current()) == (3.0, 6.0, 1.0, 6.0)


def test_message_hub_arrays_scalars_and_random_states_survive() -> None:
    allow_safe_globals()
    hub = MessageHub("safe-globals-test")
    hub.update_scalar("train/loss", 0.5)
    hub.update_info("iter", 7)
    content = {
        "hub": hub.state_dict(),
        "numpy": np.random.RandomState(0).get_state(),
        "best": np.float64(0.25),
        "flag": np.bool_(True),
        "arrays": [np.arange(3, dtype=kind) for kind in ("i1", "i4", "i8", "u1", "u4", "f2", "f4", "f8")],
        "torch": torch.get_rng_state(),
    }
    loaded = torch.load(saved(content), weights_only=True)
    assert loaded["hub"]["log_scalars"]["train/loss"].current() == 0.5
    assert loaded["hub"]["runtime_info"]["iter"] == 7
    assert np.random.RandomState(1).set_state(loaded["numpy"]) is None
    assert np.array_equal(loaded["numpy"][1], content["numpy"][1])
    assert (loaded["best"], bool(loaded["flag"])) == (0.25, True)
    for one, other in zip(loaded["arrays"], content["arrays"], strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("here", "there"),
    [(b"cnumpy.core.", b"cnumpy._core."), (b"cnumpy._core.", b"cnumpy.core.")],
    ids=["from 2", "from 1"],
)
def test_checkpoints_travel_between_numpy_1_and_2(here: bytes, there: bytes) -> None:
    """The two write other module names; the stream of one is made from that of the other."""
    allow_safe_globals()
    written = saved({"a": np.arange(3.0), "s": np.float64(2)}, _use_new_zipfile_serialization=False).getvalue()
    loaded = torch.load(io.BytesIO(written.replace(here, there)), weights_only=True)
    assert loaded["a"].tolist() == [0.0, 1.0, 2.0]
    assert loaded["s"] == 2


def test_repeating_changes_nothing() -> None:
    allow_safe_globals()
    once = len(torch.serialization.get_safe_globals())
    allow_safe_globals()
    assert len(torch.serialization.get_safe_globals()) == once


class RunsCommand:
    """The textbook attack: unpickling calls a function of the attacker's choice."""

    def __init__(self, path: Path) -> None:
        self.command = f"touch {path}"

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


class AsksFor:
    """Unpickling reaches for an attribute."""

    def __init__(self, owner: Any, name: str) -> None:
        self.asked = owner, name

    def __reduce__(self) -> Any:
        return getattr, self.asked


def test_a_checkpoint_cannot_run_a_command(tmp_path: Path) -> None:
    allow_safe_globals()
    trace = tmp_path / "was_here"
    with pytest.raises(pickle.UnpicklingError, match="system"):
        torch.load(saved({"x": RunsCommand(trace)}), weights_only=True)
    assert not trace.exists()
    torch.load(saved({"x": RunsCommand(trace)}), weights_only=False)
    assert trace.exists(), "the attack itself must work, or the test above shows nothing"


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (HistoryBuffer, "__init__"),
        (HistoryBuffer, "__globals__"),
        (HistoryBuffer, "update"),
        (HistoryBuffer, "__subclasses__"),
        (np.ndarray, "tofile"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_checkpoint_cannot_reach_other_attributes(owner: Any, name: str) -> None:
    allow_safe_globals()
    with pytest.raises((ValueError, pickle.UnpicklingError), match=r"asks for attribute|Weights only"):
        torch.load(saved(AsksFor(owner, name)), weights_only=True)


def test_narrow_getattr_serves_what_the_class_registers_by_default() -> None:
    for name in ("min", "max", "mean", "current"):
        assert narrow_getattr(HistoryBuffer, name) is getattr(HistoryBuffer, name)
    with pytest.raises(ValueError, match=r"asks for attribute 'mean' of <class 'numpy.ndarray'>"):
        narrow_getattr(np.ndarray, "mean")
    with pytest.raises(ValueError, match="asks for attribute 'statistics'"):
        narrow_getattr(HistoryBuffer, "statistics")


class Line(BaseModel):
    """The smallest thing that mmengine trains."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: list[Tensor], mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": (torch.stack(inputs).mean() * self.weight - 1).square().sum()}


def run(work_dir: Path, epochs: int, resume: bool, name: str) -> Runner:
    runner = Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader={
            "dataset": [{"inputs": torch.ones(1)} for _ in range(4)],
            "sampler": {"type": "DefaultSampler", "shuffle": False},
            "batch_size": 2,
        },
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        train_cfg={"by_epoch": True, "max_epochs": epochs},
        default_hooks={"checkpoint": {"type": "CheckpointHook", "interval": 1}},
        resume=resume,
        experiment_name=name,
        log_level="ERROR",
    )
    runner.train()
    return runner


def test_resume_of_a_real_run(tmp_path: Path) -> None:
    """The fault as a user meets it: ``--resume`` of mmengine's own runner."""
    run(tmp_path, epochs=1, resume=False, name="first")
    with pytest.raises(pickle.UnpicklingError):
        run(tmp_path, epochs=2, resume=True, name="unpatched")
    apply_patches()
    resumed = run(tmp_path, epochs=2, resume=True, name="patched")
    assert resumed.iter == 4
    assert resumed.message_hub.get_scalar("train/loss").data[0].size == 4


SCHEDULES = [
    dict(type="ConstantLR", factor=0.5),
    dict(type="LinearLR", start_factor=0.1, end=5),
    dict(type="CosineAnnealingLR", T_max=5),
    dict(type="CosineRestartLR", periods=[3, 3], restart_weights=[1, 0.5], eta_min=0.0),
    dict(type="ExponentialLR", gamma=0.9),
    dict(type="MultiStepLR", milestones=[2, 4]),
    dict(type="PolyLR", eta_min=0.0),
    dict(type="StepLR", step_size=2),
    dict(type="OneCycleLR", eta_max=0.1, total_steps=10),
    dict(type="OneCycleLR", eta_max=0.1, total_steps=10, anneal_strategy="linear"),
    dict(type="ReduceOnPlateauLR", monitor="loss"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: "-".join(str(v) for v in schedule.values()))
def test_the_state_of_every_schedule_of_mmengine_loads(schedule: dict[str, Any]) -> None:
    allow_safe_globals()

    def build() -> Any:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
        return optimizer, PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=optimizer))

    metrics = [{"loss": 1.0}] if schedule["type"] == "ReduceOnPlateauLR" else []
    (optimizer, first), (other, second) = build(), build()
    for _ in range(3):
        first.step(*metrics)
    second.load_state_dict(torch.load(saved(first.state_dict()), weights_only=True))
    other.load_state_dict(optimizer.state_dict())
    for _ in range(3):
        first.step(*metrics)
        second.step(*metrics)
        assert optimizer.param_groups[0]["lr"] == other.param_groups[0]["lr"]


def test_nothing_else_of_a_schedule_is_handed_out() -> None:
    with pytest.raises(ValueError, match="asks for attribute '__init__' of"):
        narrow_getattr(OneCycleParamScheduler, "__init__")
