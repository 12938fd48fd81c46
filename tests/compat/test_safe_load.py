"""Checkpoints of mmengine load with ``weights_only=True``, nothing in them runs, and damage is noticed."""

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
from mmengine.runner.checkpoint import load_checkpoint, load_from_local
from torch import Tensor, nn

from nda_mm.checkpoints import BrokenCheckpointError, read_checkpoint
from nda_mm.compat import allow_safe_globals, apply_patches
from nda_mm.compat.safe_load import CheckedLoad, SafeGlobals, narrow_getattr, require_intact


@pytest.fixture(autouse=True)
def unpatched() -> Iterator[None]:
    """torch and mmengine as they are before anybody patched anything, and as they were afterwards."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    loader, CheckpointLoader._schemes[""] = CheckpointLoader._schemes[""], load_from_local
    yield
    CheckpointLoader._schemes[""] = loader
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


def saved(content: Any, **kwargs: Any) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(content, file, **kwargs)
    file.seek(0)
    return file


def test_log_buffers_load_with_the_patch_alone() -> None:
    buffer = HistoryBuffer()
    for value in (1.0, 2.0, 6.0):
        buffer.update(value)
    with pytest.raises(pickle.UnpicklingError, match=r"HistoryBuffer|builtins\.getattr"):
        torch.load(saved(buffer), weights_only=True)
    assert SafeGlobals().needed()
    assert "safe-globals" in apply_patches()
    assert not SafeGlobals().needed()
    loaded = torch.load(saved(buffer), weights_only=True)
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
    }
    loaded = torch.load(saved(content), weights_only=True)
    assert loaded["hub"]["log_scalars"]["train/loss"].current() == 0.5
    assert loaded["hub"]["runtime_info"]["iter"] == 7
    assert np.array_equal(loaded["numpy"][1], content["numpy"][1])
    assert (loaded["best"], bool(loaded["flag"])) == (0.25, True)
    for one, other in zip(loaded["arrays"], content["arrays"], strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def test_checkpoints_travel_between_numpy_1_and_2() -> None:
    """The two write other module names; the stream of one is made from that of the other."""
    allow_safe_globals()
    written = saved({"a": np.arange(3.0), "s": np.float64(2)}, _use_new_zipfile_serialization=False).getvalue()
    by_numpy_1 = written.replace(b"cnumpy._core.", b"cnumpy.core.")
    for stream in (by_numpy_1, by_numpy_1.replace(b"cnumpy.core.", b"cnumpy._core.")):
        loaded = torch.load(io.BytesIO(stream), weights_only=True)
        assert (loaded["a"].tolist(), loaded["s"]) == ([0.0, 1.0, 2.0], 2)


class Reduced:
    """Unpickling it calls a function of the attacker's choice."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_a_checkpoint_cannot_run_a_command_or_reach_other_attributes(tmp_path: Path) -> None:
    allow_safe_globals()
    trace = tmp_path / "was_here"
    attack = {"x": Reduced(os.system, f"touch {trace}")}
    (tmp_path / "zip.pth").write_bytes(saved(attack).getvalue())
    (tmp_path / "raw.pth").write_bytes(pickle.dumps(attack))
    for name, said in (("zip.pth", "can't be loaded without running code: .*system"), ("raw.pth", "is truncated")):
        with pytest.raises(BrokenCheckpointError, match=f"{name} {said}"):
            read_checkpoint(tmp_path / name)
    assert not trace.exists()
    torch.load(saved(attack), weights_only=False)
    assert trace.exists(), "the attack itself must work, or the test above shows nothing"
    for owner, name in (
        (HistoryBuffer, "__globals__"),
        (HistoryBuffer, "statistics"),
        (OneCycleParamScheduler, "__init__"),
        (np.ndarray, "mean"),
    ):
        with pytest.raises(ValueError, match=f"asks for attribute '{name}'"):
            narrow_getattr(owner, name)
        with pytest.raises((ValueError, pickle.UnpicklingError), match=r"asks for attribute|Weights only"):
            torch.load(saved(Reduced(getattr, owner, name)), weights_only=True)


class Line(BaseModel):
    """The smallest model of mmengine."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 4)

    def forward(self, *inputs: Tensor) -> Tensor:
        raise NotImplementedError


SCHEDULES = [
    dict(type="LinearLR", start_factor=0.1, end=5),
    dict(type="CosineRestartLR", periods=[3, 3], restart_weights=[1, 0.5], eta_min=0.0),
    dict(type="MultiStepLR", milestones=[2, 4]),
    dict(type="OneCycleLR", eta_max=0.1, total_steps=10),
    dict(type="OneCycleLR", eta_max=0.1, total_steps=10, anneal_strategy="linear"),
    dict(type="ReduceOnPlateauLR", monitor="loss"),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: "-".join(str(v) for v in schedule.values()))
def test_the_state_of_a_schedule_loads(schedule: dict[str, Any]) -> None:
    allow_safe_globals()
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    state = PARAM_SCHEDULERS.build(schedule, default_args=dict(optimizer=optimizer)).state_dict()
    assert torch.load(saved(state), weights_only=True) == state


def save(path: Path, **options: Any) -> dict[str, Tensor]:
    weights = Line().state_dict()
    torch.save({"state_dict": weights, "meta": {}}, path, **options)
    return weights


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def hosts_load(path: Path) -> dict[str, Tensor]:
    return CheckpointLoader.load_checkpoint(str(path), map_location="cpu", logger="silent")["state_dict"]


@pytest.mark.slow
def test_no_flipped_byte_alters_a_weight(tmp_path: Path) -> None:
    apply_patches()
    path = tmp_path / "a.pth"
    weights = save(path)
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        path.write_bytes(content)
        flip(path, place)
        try:
            loaded = hosts_load(path)
        except BrokenCheckpointError:
            refused += 1
        else:
            assert same(loaded, weights), place
    assert 320 < refused < len(content)  # the weights have 272 bytes; padding may be anything


def into_a_model(path: Path) -> dict[str, Tensor]:
    model = Line()
    load_checkpoint(model, str(path))
    return model.state_dict()


def load_from(path: Path) -> dict[str, Tensor]:
    runner = Runner(Line(), str(path.parent), load_from=str(path), experiment_name=path.stem)
    runner.load_or_resume()
    return runner.model.state_dict()


@pytest.mark.parametrize("way", [into_a_model, load_from])
def test_every_way_of_the_hosts_notices_a_flipped_bit_with_the_patch(tmp_path: Path, way: Any) -> None:
    path = tmp_path / f"{way.__name__}.pth"
    weights = save(path)
    content = path.read_bytes()
    flip(path, content.index(weights["layer.weight"].numpy().tobytes()) + 5)
    if way is into_a_model:
        assert not same(way(path), weights)
        assert CheckedLoad().needed()
    apply_patches()
    assert not CheckedLoad().needed()
    for damaged in (path.read_bytes(), content[:-40]):
        path.write_bytes(damaged)
        with pytest.raises(BrokenCheckpointError, match=path.name):
            way(path)
    path.write_bytes(content)
    assert same({name: way(path)[name] for name in weights}, weights)


def test_what_was_loaded_before_still_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apply_patches()
    weights = save(tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert not require_intact(tmp_path / "old.pth")  # no checksums
    assert same(hosts_load(tmp_path / "old.pth"), weights)
    assert same(read_checkpoint(tmp_path / "old.pth", needed=("state_dict",))["state_dict"], weights)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert same(hosts_load(Path("~/old.pth")), weights)
    onto = CheckpointLoader.load_checkpoint(str(tmp_path / "old.pth"), map_location=torch.device("meta"))
    assert onto["state_dict"]["layer.bias"].is_meta
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        hosts_load(tmp_path / "absent.pth")
