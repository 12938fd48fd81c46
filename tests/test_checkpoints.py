"""Checkpoints are written whole, and no other network's passes for a recipe's own."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.fileio import get_file_backend
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from nda_mm.checkpoints import AtomicLocalBackend, MismatchedCheckpointError, compare_keys, load_strictly
from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
DIGITS = sorted(path.stem for path in CONFIGS.glob("[a-z]*/*_digits*.py"))


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_mmengine_finds_it_by_name(tmp_path: Path) -> None:
    backend = get_file_backend(str(tmp_path), backend_args={"backend": "nda_mm_atomic"})
    assert isinstance(backend, AtomicLocalBackend)
    path = tmp_path / "deep" / "file.pth"
    for content in (b"old", b"new"):
        backend.put(content, path)
        assert path.read_bytes() == content
    assert oct(path.stat().st_mode & 0o777) == "0o644"


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.pth"
    backend = AtomicLocalBackend()
    backend.put(b"old", path)
    with files_up_to(1000), pytest.raises(OSError, match=r"5,000 bytes are needed, [\d,]+ are free.*file\.pth"):
        backend.put(b"x" * 5000, path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.pth"]


def model_of(recipe: str) -> nn.Module:
    apply_patches()
    cfg = Config.fromfile(recipe_path(f"{recipe}.py"))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return MODELS.build(cfg.model)


@pytest.fixture(scope="module")
def others() -> dict[str, dict[str, Any]]:
    """Checkpoints of a GAN and of an encoder."""
    return {recipe: {"state_dict": model_of(recipe).state_dict()} for recipe in ("nda_biggan_digits", "moco_digits")}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", DIGITS)
def test_every_digits_recipe_takes_its_own_checkpoint_and_no_other(recipe: str, others: dict[str, Any]) -> None:
    pytest.importorskip("mmagic")
    written, fresh = model_of(recipe), model_of(recipe)
    names = dict(source="own.pth", target=recipe)
    load_strictly(fresh, {"meta": {}, "state_dict": written.state_dict()}, **names)
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in written.state_dict().items())
    # as DDP saves a model, and from before batches were counted
    wrapped = {f"module.{name}": value for name, value in written.state_dict().items() if "num_batches" not in name}
    load_strictly(fresh, wrapped, **names)
    for other, checkpoint in others.items():
        if compare_keys(fresh.state_dict(), checkpoint["state_dict"]):
            with pytest.raises(MismatchedCheckpointError, match=rf"{other}\.pth does not fit {recipe}: \d+ "):
                load_strictly(fresh, checkpoint, source=f"{other}.pth", target=recipe)
        else:
            # the twins without negatives have the same networks
            assert any(kind in recipe for kind in ("biggan", "moco", "numerosity"))


class Renamed(nn.Linear):
    """Reads weights under a former name."""

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        if f"{prefix}kernel" in state_dict:
            state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}kernel")
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_modules_that_adapt_what_they_read_raise_no_alarm() -> None:
    model = nn.Sequential(Renamed(2, 3), nn.LazyLinear(4))
    given = {
        "0.kernel": torch.ones(3, 2),
        "0.bias": torch.ones(3),
        "1.weight": torch.ones(4, 3),
        "1.bias": torch.ones(4),
    }
    load_strictly(model, given, source="a.pth", target="Sequential")
    assert model[1].weight.shape == (4, 3) and bool((model[0].weight == 1).all())


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({f"head.{n}": torch.zeros(1) for n in range(6)}, r"6 unexpected \(head\.0, .*head\.3 and 2 more\)"),
        (
            {"drop": "bias", "weight": torch.zeros(2, 2), "scale": torch.zeros(1)},
            r"1 missing \(bias\); 1 of another shape \(weight \(2, 2\) for \(3, 2\)\); 1 unexpected \(scale\)",
        ),
    ],
    ids=["many", "of every kind"],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], faults: str) -> None:
    model = nn.Linear(2, 3)
    weights = {**model.state_dict(), **change}
    weights.pop(str(weights.pop("drop", "")), None)
    with pytest.raises(MismatchedCheckpointError, match=rf"a\.pth does not fit Linear: {faults}\.$"):
        load_strictly(model, weights, source="a.pth", target="Linear")
    assert re.fullmatch(faults, compare_keys(model.state_dict(), weights))
