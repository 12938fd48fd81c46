"""The comparison of training steps: its arithmetic under a time of our own, and the two commands on a CPU."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from contextlib import contextmanager, nullcontext

import paired_steps
import pytest
import torch


class Time:
    """A clock that moves only when a step is taken."""

    def __init__(self):
        self.now = 0.0
        self.factor = 1.0

    def __call__(self):
        return self.now

    @contextmanager
    def slower(self, factor):
        self.factor = factor
        yield
        self.factor = 1.0


class Event:
    """Of a GPU whose time is ours, in milliseconds."""

    time: Time

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = self.time.now

    def synchronize(self):
        pass

    def elapsed_time(self, other):
        return 1e3 * (other.at - self.at)


@pytest.fixture(params=["cpu", "cuda"])
def step(request, monkeypatch):
    """A step of 0.1 seconds on a clock of ours, for a CPU and, without one, for a GPU."""
    time = Time()
    monkeypatch.setattr(paired_steps.time, "perf_counter", time)
    monkeypatch.setattr(paired_steps.time, "process_time", time)
    monkeypatch.setattr(Event, "time", time, raising=False)
    monkeypatch.setattr(torch.cuda, "Event", Event)

    def taken():
        time.now += 0.1 * time.factor

    taken.device, taken.time = request.param, time
    return taken


def test_a_variant_is_measured_in_plain_steps(step):
    variants = {"plain": nullcontext, "twice": lambda: step.time.slower(2), "a little": lambda: step.time.slower(1.25)}
    bars = {"plain": None, "twice": 1.3, "a little": 1.3}
    rows = paired_steps.compare_steps(step, variants, bars, rounds=3)
    assert [row["ratio"] for row in rows] == [1.0, 2.0, 1.25]
    assert [row["milliseconds"] for row in rows] == [100.0, 200.0, 125.0]
    assert [row["met"] for row in rows] == [True, False, True]
    a_timing = paired_steps.GPU_STEPS if step.device == "cuda" else 1
    total = (1 + 2 + 1.25) + 3 * a_timing * (3 + 1 + 2 + 1.25)
    assert step.time.now == pytest.approx(0.1 * total), "one step of each that does not count, then pairs"


def test_what_the_command_line_leaves_open_is_filled_in():
    args = Namespace(batch=None, amp=False, width=3)
    paired_steps.set_defaults(args, dict(batch=256, amp=True, width=64))
    assert vars(args) == dict(batch=256, amp=False, width=3)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_contrast_step(tmp_path, monkeypatch, capsys, device):
    pytest.importorskip("mmpretrain")
    import contrast_step

    rows, report = run(contrast_step, "--width 4 --batch 8 --rounds 1", device, tmp_path, monkeypatch)
    assert list(rows) == ["plain", "jigsaw", "stitch", "cutout", "jigsaw, 2 negatives"]
    limit = contrast_step.BARS[device]
    assert [row["bar"] for row in rows.values()] == [None, limit, limit, limit, None, None]
    assert all(0.2 < row["ratio"] < 5 for row in rows.values())
    assert report["batch"] == 8 and report["width"] == 4 and report["amp"] is (device == "cuda")
    assert "jigsaw, 2 negatives" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_dpc_step(tmp_path, monkeypatch, device):
    pytest.importorskip("mmaction")
    import dpc_step

    words = "--width 2 --batch 2 --size 64 --rounds 1"
    rows, _ = run(dpc_step, words, device, tmp_path, monkeypatch)
    assert {"plain", "jigsaw", "stitch", "shuffle_frames"} < rows.keys()
    assert rows["jigsaw"]["bar"] == dpc_step.STEP_BAR


def run(command, words, device, tmp_path, monkeypatch):
    """The command's rows by name, and everything that it wrote."""
    path = tmp_path / "steps.json"
    monkeypatch.setattr(sys, "argv", ["step.py", *shlex.split(words), "--device", device, "--json", str(path)])
    threads = torch.get_num_threads()
    try:
        assert command.main() == 0
    finally:
        torch.set_num_threads(threads)
    report = json.loads(path.read_text())
    return {row["step"]: row for row in report["rows"]}, report
