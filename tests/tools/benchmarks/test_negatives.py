"""The benchmark command: what it times, what it prints, when it fails."""

import json
import sys

import negatives as benchmark
import pytest
import torch

from nda_mm import functional as F


@pytest.fixture(autouse=True)
def threads_as_before():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def test_the_loop_it_compares_with_is_a_jigsaw():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    out = benchmark.loop_jigsaw(x)
    assert torch.equal(out.flatten(1).sort(dim=1).values, x.flatten(1))
    assert not (out == x).flatten(1).all(dim=1).any()


@pytest.mark.slow
def test_every_negative_is_timed_and_written(monkeypatch, tmp_path):
    words = ["negatives.py", "--rounds", "2", "--shape", "4x3x8x8", "--shape", "2x3x4x8x8", "--check", "--json"]
    monkeypatch.setattr(sys, "argv", [*words, str(tmp_path / "times.json")])
    assert benchmark.main() == 0
    rows = json.loads((tmp_path / "times.json").read_text())["rows"]
    timed = {(row["shape"], row["negative"]) for row in rows}
    images = set(F.__all__) - {"shuffle_frames"}
    assert {name for shape, name in timed if shape == "4x3x8x8"} == images | {"copy", "loop over samples / jigsaw"}
    assert ("2x3x4x8x8", "shuffle_frames") in timed
    assert all(row["bar"] is None for row in rows), "bars belong to the shapes they were set for"


@pytest.mark.parametrize(("bar", "status"), [(0.0, 1), (1e9, 0)])
def test_a_missed_bar_fails_the_check(monkeypatch, capsys, bar, status):
    monkeypatch.setattr(benchmark, "BARS", {"4x3x8x8": {"jigsaw": bar}})
    monkeypatch.setattr(sys, "argv", ["negatives.py", "--shape", "4x3x8x8", "--rounds", "2", "--check"])
    assert benchmark.main() == status
    assert ("MISSED" in capsys.readouterr().out) == bool(status)


def test_a_call_is_measured_beside_its_own_copy():
    now, taken = 0.0, []

    def spend(name, seconds):
        nonlocal now
        now += seconds
        taken.append(name)

    def seconds(call):
        start = now
        call()
        return now - start

    calls = {"slow": lambda: spend("slow", 6.0), "quick": lambda: spend("quick", 3.0)}
    found = benchmark.take_turns(calls, lambda: spend("copy", 2.0), 2, seconds)
    assert found == {"slow": (6.0, 3.0), "quick": (3.0, 1.5)}
    turn = ["copy", "copy", "slow", "slow", "copy", "copy", "quick", "quick"]  # each after one that does not count
    assert taken == 2 * turn


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_on_a_gpu_a_copy_takes_as_long_as_a_copy(monkeypatch, tmp_path, dtype):
    path = tmp_path / "times.json"
    words = ["--device", "cuda", "--shape", "256x3x64x64", "--rounds", "5", "--dtype", dtype, "--json", str(path)]
    monkeypatch.setattr(sys, "argv", ["negatives.py", *words])
    assert benchmark.main() == 0
    report = json.loads(path.read_text())
    rows = {row["negative"]: row for row in report["rows"]}
    assert 0.8 < rows["copy"]["ratio"] < 1.25
    assert 0.8 < rows["copy"]["ratio_with_host"] < 1.25
    assert rows.keys() == {"copy", *F.__all__} - {"shuffle_frames"}
    assert all(row["bar"] == 2.0 for name, row in rows.items() if name != "copy")
    assert report["on"] == torch.cuda.get_device_name()
