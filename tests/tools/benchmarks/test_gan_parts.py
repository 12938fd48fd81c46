"""The split of an iteration: exact under a time of our own, complete in a real run."""

from __future__ import annotations

import json
import shlex
import sys

import pytest

pytest.importorskip("mmagic")
import gan_runs
import profile_gan
from gan_ladder import LADDER, SHIPPED
from gan_parts import PartsHook, Stopwatch, watch

STEPS = gan_runs.DISCRIMINATOR_STEPS


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_part_leaves_out_the_parts_within_it():
    clock = Clock()
    stopwatch = Stopwatch(now=clock)

    def spend(seconds):
        clock.now += seconds

    inner = stopwatch.timed(spend, "inner")
    with stopwatch.part("before the start"):
        spend(100)
    stopwatch.start()
    spend(1)
    for _ in range(2):
        with stopwatch.part("outer"):
            spend(2)
            inner(4)
    inner(8)
    stopwatch.stop()
    spend(100)
    inner(100)
    assert stopwatch.own == {(): 1.0, ("outer",): 4.0, ("outer", "inner"): 8.0, ("inner",): 8.0}
    assert stopwatch.total() == 21.0
    rows = {(row["part"], row["depth"]): row for row in stopwatch.table(iterations=2)}
    assert list(rows) == [("iteration", 0), ("outer", 1), ("inner", 2), ("inner", 1)], "longest first, below its parent"
    assert rows["outer", 1] == dict(part="outer", depth=1, milliseconds=6000.0, own=2000.0, calls=1.0)
    assert rows["iteration", 0]["milliseconds"] == 10500.0


def test_an_error_leaves_its_part():
    clock = Clock()
    stopwatch = Stopwatch(now=clock)
    stopwatch.start()

    def fail():
        clock.now += 3
        raise KeyError

    with pytest.raises(KeyError):
        stopwatch.timed(fail, "part")()
    clock.now += 4
    stopwatch.stop()
    assert stopwatch.own == {("part",): 3.0, (): 4.0}


@pytest.mark.parametrize("setting", [LADDER[0], LADDER[1], SHIPPED], ids=lambda setting: setting.name)
def test_every_part_of_a_real_run_is_counted(small, tmp_path, setting):
    runner = gan_runs.build(setting, small, gan_runs.choose_data(small), tmp_path, negatives=True)
    stopwatch = Stopwatch()
    watch(runner, stopwatch)
    runner.register_hook(PartsHook(stopwatch, warmup=1, steps=2, discriminator_steps=STEPS))
    runner.train()
    assert runner.iter == 3 * STEPS
    rows = stopwatch.table(iterations=2)
    calls = {row["part"]: row["calls"] for row in rows if row["depth"] == 1}
    assert calls["preprocessing"] == calls["discriminator step"] == calls["fetching data"] == STEPS
    assert calls["generator step"] == 1
    assert calls["moving average"] == 2  # mmagic updates it, and copies the buffers once more
    assert calls["hooks"] == pytest.approx(2 * STEPS, abs=0.5)  # the watch starts in the last hook of an iteration
    inside = {row["part"] for row in rows if row["depth"] == 2}
    assert {"backward", "optimizer", "negatives", "spectral norm", "generated images", "LoggerHook"} <= inside
    assert sum(row["own"] for row in rows) == pytest.approx(rows[0]["milliseconds"])


@pytest.mark.slow
def test_the_command_writes_what_it_prints(small, tmp_path, monkeypatch, capsys):
    path = tmp_path / "parts.json"
    words = shlex.split("--width 1 --batch 2 --made 16 --steps 1 --warmup 1 --top 5 --rung 1 --plain --json")
    monkeypatch.setattr(sys, "argv", ["profile_gan.py", *words, str(path), "--device", small.device])
    assert profile_gan.main() == 0
    report = json.loads(path.read_text())
    printed = capsys.readouterr().out
    assert profile_gan.text(report) in printed
    cuda = small.device == "cuda"
    assert (report["parts_with_device"] is not None) == ("device busy" in printed) == cuda
    assert ("device_busy" not in report) or 0 < report["device_busy"] <= 1
    assert not any(row["part"] == "negatives" for row in report["parts"]), "--plain"
    assert (report["counts"]["kernel launches"] > 1000) == cuda
    assert len(report["operations"]) == 5
    times = [row["milliseconds"] for row in report["operations"]]
    assert times == sorted(times, reverse=True)
    assert report["counts"]["operators"] > 1000
    # Two optimizers' steps count on the host; each logged term is read.
    assert report["counts"]["values read by the host"] > 4 * 7
