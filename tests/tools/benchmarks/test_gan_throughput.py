"""The ladder: every rung trains, the figures are what they say, the files hold them, a failure is told."""

from __future__ import annotations

import csv
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("mmagic")
import gan_report
import gan_runs
import gan_throughput
from gan_ladder import LADDER, PLAIN, RUNGS, SETTINGS, Setting
from gan_report import Row
from gan_runs import precision_of
from loop_clock import Timing

from nda_mm.engine.iter_loop import ExactIterLoop


@pytest.fixture
def command(small, monkeypatch, tmp_path):
    """Runs the command on very small networks; its exit status and what it wrote."""

    def run(*words: str) -> tuple[int, dict]:
        size = shlex.split("--width 1 --batch 2 --made 16 --workers 0 --steps 1 --warmup 1 --out")
        words = (*size, str(tmp_path / "out"), "--device", small.device, *words)
        monkeypatch.setattr(sys, "argv", ["gan_throughput.py", *words])
        status = gan_throughput.main()
        return status, json.loads((tmp_path / "out" / "results.json").read_text())

    return run


@pytest.fixture(autouse=True)
def float32_as_before():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


@pytest.mark.slow
def test_every_rung_trains(command, monkeypatch):
    # The compiler takes minutes; what it is given is traced all the same.
    *others, compiled, graphs = list(SETTINGS)[:-1]
    options = SETTINGS[compiled].options
    assert options["model.compile_networks"] is True and SETTINGS[graphs].options["model.compile_networks"]
    traced = replace(SETTINGS[compiled], options=options | {"model.compile_networks": dict(backend="eager")})
    monkeypatch.setitem(SETTINGS, compiled, traced)
    tried = [*others, compiled, "shipped"]
    status, report = command("--negatives", "with", "--rungs", *tried)
    assert status == 0
    assert [row["rung"] for row in report["rows"]] == tried
    assert not any(row["error"] for row in report["rows"])


@pytest.mark.slow
def test_figures_are_what_they_say_and_are_written(command, tmp_path, capsys):
    names = ["0", "1", "shipped"]
    status, report = command("--negatives", "with", "--rungs", *names, "--schedule-steps", "1")
    assert status == 0
    assert [row["rung"] for row in report["rows"]] == names
    assert report["data"] == "16 random images in the shape of CIFAR-10"
    first = report["rows"][0]
    for row in report["rows"]:
        seconds = row["milliseconds"] / 1e3
        assert row["images_per_second"] == pytest.approx(4 * 2 / seconds)
        speed = report["matmul_teraflops"][row["precision"]]
        assert row["share_of_arithmetic"] == pytest.approx(row["teraflop"] / speed / seconds)
        if row is not first:
            assert row["times_as_fast_as_stock"] == pytest.approx(first["milliseconds"] / row["milliseconds"])
    found = report["schedule"]
    mean = (found["milliseconds_first"] + found["milliseconds_last"]) / 2
    assert found["schedule_hours"] == pytest.approx(97_500 * mean / 1e3 / 3600)
    assert report["bars"]["schedule_hours"]["measured"] == found["schedule_hours"]

    with (tmp_path / "out" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["milliseconds"]) for row in rows] == [row["milliseconds"] for row in report["rows"]]
    table = (tmp_path / "out" / "results.md").read_text()
    assert table == gan_report.markdown(report) and table in capsys.readouterr().out
    assert table.count("\n| ") == len(names) + 1


@pytest.mark.slow
def test_negatives_are_compared_with_the_same_rung_without(command):
    status, report = command("--rungs", "shipped")
    assert status == 0
    plain, negatives = report["rows"]
    assert (plain["negatives"], negatives["negatives"]) == (False, True)
    assert plain["over_plain"] is None
    assert negatives["over_plain"] == pytest.approx(negatives["milliseconds"] / plain["milliseconds"])
    assert negatives["teraflop"] > 1.2 * plain["teraflop"]


@pytest.mark.slow
def test_what_was_measured_is_kept_and_the_rest_added(command, monkeypatch, tmp_path):
    def again(*args, **kwargs):
        raise AssertionError("measured once more")

    _, first = command("--rungs", "shipped", "--negatives", "without")
    _, both = command("--rungs", "shipped", "0", "--negatives", "without")
    assert [row["rung"] for row in both["rows"]] == ["0", "shipped"], "in the ladder's order"
    before, after = first["rows"][0], both["rows"][1]
    stock = both["rows"][0]["milliseconds"]
    assert before["times_as_fast_as_stock"] is None
    assert after == before | {"times_as_fast_as_stock": pytest.approx(stock / before["milliseconds"])}
    _, scheduled = command("--rungs", "0", "--negatives", "without", "--schedule-steps", "1")
    monkeypatch.setattr(gan_throughput.Benchmark, "time", again)
    _, last = command("--rungs", "0", "shipped", "--negatives", "without", "--schedule-steps", "1")
    assert last["rows"] == both["rows"] and last["schedule"] == scheduled["schedule"] is not None
    with pytest.raises(ValueError, match="holds results with steps 1, unlike this call's; give another folder"):
        command("--steps", "2")


@pytest.mark.slow
def test_no_row_begins_that_would_end_too_late(command, monkeypatch):
    seconds = iter([0, 0, 0, 50, 50, 59, 109, 109, 119.9])  # a row of 50 seconds, one of 50 after it, no third
    monkeypatch.setattr(gan_throughput.time, "monotonic", lambda: next(seconds))
    monkeypatch.setattr(gan_throughput.Benchmark, "time", lambda *_: (Timing(1.0, [1.0]), "fp32"))
    status, report = command("--rungs", "0", "1", "--minutes", "2")
    assert status == gan_throughput.MORE_TO_DO
    assert [(row["rung"], row["negatives"]) for row in report["rows"]] == [("0", False), ("0", True)]


@pytest.mark.slow
def test_the_schedule_is_not_begun_if_it_would_end_too_late(command, monkeypatch):
    monkeypatch.setattr(gan_throughput.Benchmark, "time", lambda *_: (Timing(1.0, [1.0]), "fp32"))
    words = ("--rungs", "shipped", "--negatives", "with", "--minutes", "2")
    assert command(*words, "--schedule-steps", "70")[0] == gan_throughput.MORE_TO_DO, "70 seconds twice"
    status, report = command(*words, "--schedule-steps", "40")
    assert status == 0 and report["schedule"]["timed_steps"] == 40


@pytest.mark.slow
def test_a_rung_that_fails_is_told_and_the_others_are_measured(command, monkeypatch, tmp_path):
    broken = Setting("broken", {"model.type": "NoSuchGAN"})
    monkeypatch.setitem(SETTINGS, "0", broken)
    status, report = command("--rungs", "0", "1", "--negatives", "without", "--check")
    assert status == 1
    assert "NoSuchGAN" in report["rows"][0]["error"] and report["rows"][0]["milliseconds"] is None
    assert report["rows"][1]["error"] == "" and report["rows"][1]["milliseconds"] > 0
    again = command("--rungs", "0", "1", "--negatives", "without")[1]["rows"]
    assert again[0]["error"] and again[1] == report["rows"][1], "only what failed is tried again"
    assert "| 0 | broken | no | failed: KeyError" in (tmp_path / "out" / "results.md").read_text()


@pytest.mark.parametrize(
    ("over_plain", "as_fast", "hours", "met"),
    [(1.35, 3.0, 1.0, True), (1.36, 2.9, 1.1, False), (None, None, None, None)],
)
def test_bars(over_plain, as_fast, hours, met):
    row = Row("shipped", "", True, over_plain=over_plain, times_as_fast_as_stock=as_fast)
    others = [Row("shipped", "", False, over_plain=9.0), Row("3", "", True, over_plain=9.0)]
    bars = gan_report.check_bars([*others, row], None if hours is None else {"schedule_hours": hours})
    assert [bar["met"] for bar in bars.values()] == [met] * 3
    assert [bar["measured"] for bar in bars.values()] == [over_plain, as_fast, hours]


def test_each_rung_keeps_what_those_before_it_added():
    assert LADDER[0].stock and not any(setting.stock for setting in LADDER[1:])
    assert LADDER[1].options == PLAIN
    assert list(SETTINGS) == ["0", "0t", *map(str, range(1, len(LADDER))), "shipped"]
    assert SETTINGS["0t"].stock and SETTINGS["0t"].precision == "torch's default"
    for before, setting, (_, added, precision) in zip(LADDER[1:-1], LADDER[2:], RUNGS[1:], strict=True):
        assert setting.options == before.options | added
        assert setting.precision == (precision or before.precision)
        assert added or precision, "a rung changes something"


@pytest.mark.parametrize("precision", ["fp32", "torch's default", "tf32", "bf16"])
def test_a_run_is_done_in_its_precision(small, tmp_path, precision):
    setting = Setting("", precision=precision)
    runner = gan_runs.build(setting, small, gan_runs.choose_data(small), tmp_path, negatives=False)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    assert precision_of(runner) == precision
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    assert (products, convolutions) == gan_runs.TF32[precision]


def test_the_first_rung_is_mmagics_own(small, tmp_path):
    data = gan_runs.choose_data(small)
    runner = gan_runs.build(LADDER[0], small, data, tmp_path, negatives=False)
    loop = runner.build_train_loop(runner._train_loop)
    assert type(runner.model).__module__.startswith("mmagic.")
    assert type(runner.model.data_preprocessor).__module__.startswith("mmagic.")
    assert type(loop).__module__.startswith("mmengine.") and not isinstance(loop, ExactIterLoop)
    images, labels = gan_runs.MadeCIFAR10(length=16).load_arrays()
    item = loop.dataloader.dataset[5]["data_samples"]
    assert np.array_equal(item.gt_img.numpy().transpose(1, 2, 0), images[5])
    assert int(item.gt_label.label) == labels[5]


def test_data_are_cifar10_where_it_is(small_on_cpu, tmp_path, monkeypatch):
    assert gan_runs.describe_data(gan_runs.choose_data(small_on_cpu)) == "16 random images in the shape of CIFAR-10"
    small_on_cpu.made = None
    small_on_cpu.data_root = str(tmp_path)
    assert gan_runs.choose_data(small_on_cpu) == dict(type="nda_mm.MadeCIFAR10", length=50_000)
    draw = np.random.default_rng(0)
    from PIL import Image

    for name in gan_runs.CIFAR10.METAINFO["classes"]:
        path = tmp_path / "train" / name / "0.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    monkeypatch.setattr(gan_runs.CIFAR10, "images_per_class", {"train": 1, "test": 1})
    found = gan_runs.choose_data(small_on_cpu)
    assert found["type"] == "nda_mm.CIFAR10"
    assert gan_runs.describe_data(found) == "CIFAR-10, 50,000 training images"


@pytest.mark.parametrize(
    ("device", "cuda", "said"), [("cpu", True, "mmengine would take the GPU"), ("cuda", False, "torch sees no GPU")]
)
def test_the_device_asked_for_is_the_one_used(small_on_cpu, monkeypatch, device, cuda, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    small_on_cpu.device = device
    with pytest.raises(SystemExit, match=said):
        gan_runs.choose_device(small_on_cpu)


def test_timing_of_one_setting_needs_a_clock_that_ended(small, tmp_path, monkeypatch):
    small.warmup, small.out = 1, None
    monkeypatch.setattr(gan_runs, "SCHEDULE", 1)  # the training ends with the warm-up
    benchmark = gan_throughput.Benchmark(small, Path(tmp_path))
    with pytest.raises(RuntimeError, match="ended before the clock"):
        benchmark.time(LADDER[1], False, steps=5)


def test_rare_delays_count():
    timing = Timing(seconds=1.0, each=[0.1] * 9)
    assert timing.milliseconds == pytest.approx(1e3 / 9) and timing.median == pytest.approx(100.0)
