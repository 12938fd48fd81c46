"""The benchmark commands, each once at a small size: what they time, what they write, when ``--check`` fails."""

from __future__ import annotations

import importlib
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nda_mm import functional as F

FOLDER = Path(__file__).resolve().parents[2] / "tools" / "benchmarks"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
Run = Callable[..., dict]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    """The benchmarks import each other as scripts do, by the name of the file beside them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """Run a command and return what it wrote."""

    def call(name: str, words: str, status: int = 0) -> dict:
        path = tmp_path / "times.json"
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *shlex.split(words), "--out", str(path)])
        assert importlib.import_module(name).main() == status
        return json.loads(path.read_text())

    return call


@pytest.mark.parametrize(("bar", "status"), [(0.0, 1), (1e9, 0)])
def test_a_missed_bar_fails_the_check(run: Run, monkeypatch, capsys, bar, status):
    benchmark = importlib.import_module("negatives")
    monkeypatch.setattr(benchmark, "BARS", {"4x3x8x8": {"jigsaw": bar}})
    run("negatives", "--shape 4x3x8x8 --rounds 2 --check", status)
    assert ("MISSED" in capsys.readouterr().out) == bool(status)


def test_the_loop_that_jigsaw_is_compared_with_is_a_jigsaw():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    out = importlib.import_module("negatives").loop_jigsaw(x)
    assert torch.equal(out.flatten(1).sort(dim=1).values, x.flatten(1))
    assert not (out == x).flatten(1).all(dim=1).any()


@pytest.mark.slow
def test_every_negative_is_timed(run: Run):
    rows = run("negatives", "--rounds 2 --shape 4x3x8x8 --shape 3x3x4x8x8 --check")["rows"]
    timed = {(row["shape"], row["negative"]) for row in rows}
    images = set(F.__all__) - {"shuffle_frames"}
    assert {name for shape, name in timed if shape == "4x3x8x8"} == images | {"copy", "loop over samples / jigsaw"}
    assert ("3x3x4x8x8", "shuffle_frames") in timed


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_steps_with_negatives(run: Run, device):
    pytest.importorskip("mmpretrain")
    pytest.importorskip("mmaction")
    for name, words, steps in (
        ("contrast_step", "--width 4 --batch 8", {"plain", "jigsaw", "stitch", "cutout", "jigsaw, 2 negatives"}),
        ("exposure_step", "--width 4 --batch 8", {"plain", "jigsaw", "stitch", "jigsaw, half of the batch"}),
        ("dpc_step", "--width 2 --batch 2 --size 64", {"plain", "jigsaw", "stitch", "shuffle_frames"}),
    ):
        report = run(name, f"{words} --rounds 1 --device {device}")
        assert steps <= {row["step"] for row in report["rows"]}
        assert report["amp"] == (device == "cuda")


@pytest.mark.slow
def test_gan_step_and_profile(monkeypatch, capsys, tmp_path):
    pytest.importorskip("mmagic")
    monkeypatch.chdir(tmp_path)
    for name, words in (
        ("gan_step", "--width 1 --batch 2 --rounds 1"),
        (
            "gan_training",
            "--width 1 --batch 2 --steps 1 --warmup 1 --only 'stock, float32' --only 'bfloat16, CUDA graphs'",
        ),
        ("profile_gan", "toy_gaussians.py --steps 2 --warmup 1 --top 5 --trace trace.json"),
    ):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *shlex.split(words)])
        assert importlib.import_module(name).main() == 0
    said = capsys.readouterr().out
    assert all(name in said for name in importlib.import_module("gan_step").SETTINGS)
    assert "stock, float32" in said and "times_stock" in said
    assert "train_step" in said and "aten::" in said and (tmp_path / "trace.json").is_file()
