"""A damaged checkpoint gives the same weights or an error, whichever way a host loads it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner.checkpoint import load_checkpoint, load_from_local
from torch import nn

from nda_mm.checkpoints import BrokenCheckpointError, read_checkpoint
from nda_mm.compat import apply_patches
from nda_mm.compat.safe_load import CheckedLoad, require_intact


@pytest.fixture(autouse=True)
def loader() -> Iterator[None]:
    """The patch, whatever was applied before; and that again afterwards."""
    before = CheckpointLoader._schemes[""]
    CheckpointLoader._schemes[""] = load_from_local
    apply_patches()
    yield
    CheckpointLoader._schemes[""] = before


class Line(BaseModule):
    """The smallest network with a checkpoint."""

    def __init__(self, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.layer = nn.Linear(16, 4)

    def forward(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError


def save(path: Path, **options: Any) -> dict[str, torch.Tensor]:
    weights = Line().state_dict()
    torch.save({"state_dict": weights, "meta": {}}, path, **options)
    return weights


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def flip_weight(path: Path, weights: dict[str, torch.Tensor]) -> None:
    flip(path, path.read_bytes().index(weights["layer.weight"].numpy().tobytes()) + 5)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_fault_is_there_and_the_patch_removes_it(tmp_path: Path) -> None:
    weights = save(tmp_path / "a.pth")
    flip_weight(tmp_path / "a.pth", weights)
    CheckpointLoader._schemes[""] = load_from_local
    assert not same(CheckpointLoader.load_checkpoint(str(tmp_path / "a.pth"))["state_dict"], weights)
    assert CheckedLoad().needed()
    assert "checked-load" in apply_patches()
    assert not CheckedLoad().needed()
    with pytest.raises(BrokenCheckpointError, match=r"a\.pth"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "a.pth"))


@pytest.mark.slow
def test_no_flipped_byte_alters_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    weights = save(path)
    content = path.read_bytes()
    refused = 0
    for place in range(len(content)):
        path.write_bytes(content)
        flip(path, place)
        try:
            loaded = CheckpointLoader.load_checkpoint(str(path), map_location="cpu", logger="silent")
        except BrokenCheckpointError:
            refused += 1
        else:
            assert same(loaded["state_dict"], weights), place
    assert 320 < refused < len(content)  # the weights have 272 bytes; padding may be anything


def pretrained(path: Path) -> dict[str, torch.Tensor]:
    model = Line(init_cfg=dict(type="Pretrained", checkpoint=str(path)))
    model.init_weights()
    return model.state_dict()


def hosts_load(path: Path) -> dict[str, torch.Tensor]:
    model = Line()
    load_checkpoint(model, str(path))
    return model.state_dict()


def load_from(path: Path) -> dict[str, torch.Tensor]:
    runner = Runner(Line(), str(path.parent), load_from=str(path), experiment_name=path.stem)
    runner.load_or_resume()
    return runner.model.state_dict()


@pytest.mark.parametrize("way", [pretrained, hosts_load, load_from])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "none"])
def test_every_way_of_the_hosts_is_checked(tmp_path: Path, way: Any, damage: str) -> None:
    path = tmp_path / f"{way.__name__}_{damage}.pth"
    weights = save(path)
    if damage == "none":
        assert same(way(path), weights)
        return
    if damage == "flipped":
        flip_weight(path, weights)
    else:
        path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(BrokenCheckpointError, match=path.name):
        way(path)


def test_what_was_loaded_before_still_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = save(tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert not require_intact(tmp_path / "old.pth")  # no checksums
    assert same(CheckpointLoader.load_checkpoint(str(tmp_path / "old.pth"))["state_dict"], weights)
    assert same(read_checkpoint(tmp_path / "old.pth", needed=("state_dict",))["state_dict"], weights)
    torch.save([1, "two", weights["layer.bias"]], tmp_path / "list.pth")
    assert CheckpointLoader.load_checkpoint(str(tmp_path / "list.pth"))[:2] == [1, "two"]
    monkeypatch.setenv("HOME", str(tmp_path))
    torch.save(weights, tmp_path / "raw.pth")
    assert same(hosts_load(Path("~/raw.pth")), weights)
    onto = CheckpointLoader.load_checkpoint(str(tmp_path / "raw.pth"), map_location=torch.device("meta"))
    assert onto["layer.bias"].is_meta
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "absent.pth"))
