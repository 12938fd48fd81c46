"""Comparisons: of real runs of a toy size (mmengine's Runner, a linear model), and of logs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nda_mm.studies.comparison import Comparison, NothingToCompareError

PROJECT = Path(__file__).resolve().parents[2]
COMPARE = [sys.executable, str(PROJECT / "tools" / "compare.py")]
DONE = [sys.executable, "-c", ""]

TOY = """
import os
import time

import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS


@MODELS.register_module()
class ToyLine(BaseModel):
    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.randn(()))
        self.calls = 0

    def forward(self, x, y, mode="tensor"):
        self.calls += 1
        if self.calls > 4:  # after the first evaluation
            time.sleep(float(os.environ.get("TOY_SECONDS", 0)))
        error = self.slope * torch.stack(x) - torch.stack(y)
        return dict(loss=error.square().mean()) if mode == "loss" else [dict(slope=self.slope.item())]


@DATASETS.register_module()
class ToyPoints(torch.utils.data.Dataset):
    metainfo = {}

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return dict(x=torch.tensor(index / 8), y=torch.tensor(2 * index / 8))


@METRICS.register_module()
class ToySlope(BaseMetric):
    default_prefix = "toy"

    def process(self, data_batch, data_samples):
        self.results += [data_samples[0]["slope"]]

    def compute_metrics(self, results):
        return dict(slope=results[0])
"""

CONFIG = """
custom_imports = dict(imports=["toy_line"])
model = dict(type="ToyLine")
loader = dict(batch_size=4, num_workers=0, dataset=dict(type="ToyPoints"))
train_dataloader = dict(**loader, sampler=dict(type="InfiniteSampler", shuffle=True))
val_dataloader = dict(**loader, sampler=dict(type="DefaultSampler", shuffle=False))
val_evaluator = dict(type="ToySlope")
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type="SGD", lr={lr}))
train_cfg = dict(type="nda_mm.ExactIterLoop", max_iters={iterations}, val_interval=2)
default_hooks = dict(
    logger=dict(type="LoggerHook", interval=2, log_metric_by_epoch=False),
    checkpoint=dict(type="nda_mm.SafeCheckpointHook", interval=100, by_epoch=False),
)
log_processor = dict(by_epoch=False)
"""


@pytest.fixture
def recipes(tmp_path, monkeypatch) -> list[str]:
    (tmp_path / "toy_line.py").write_text(TOY)
    for name, lr in (("slow", 0.1), ("fast", 0.5)):
        (tmp_path / f"{name}.py").write_text(CONFIG.format(lr=lr, iterations=4))
    paths = [str(tmp_path), str(PROJECT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    return [str(tmp_path / "slow.py"), str(tmp_path / "fast.py")]


def compare(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*COMPARE, *words], capture_output=True, text=True, check=False)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def write_run(folder: Path, values: list[float], *, finished: bool = False) -> None:
    """A run as mmengine logs it: a value every 2 steps."""
    log = folder / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text("".join(json.dumps({"toy/slope": v, "step": 2 * n + 2}) + "\n" for n, v in enumerate(values)))
    if finished:
        (folder / "finished.json").write_text("{}")


@pytest.mark.slow
def test_trains_once_and_reports(recipes, tmp_path):
    out = tmp_path / "out"
    words = [*recipes, "--seeds", "0", "1", "--out", str(out)]
    first = compare(*words)
    assert first.returncode == 0, first.stderr
    runs = [path.parent.relative_to(out).as_posix() for path in sorted(out.glob("*/seed_*/finished.json"))]
    assert runs == ["fast/seed_0", "fast/seed_1", "slow/seed_0", "slow/seed_1"]
    table = (out / "results.md").read_text()
    assert table in first.stdout
    assert "Paired differences from slow" in table
    rows = read_csv(out / "results.csv")
    assert list(rows[0]) == ["recipe", "seed", "metric", "step", "value", "generator_step", "samples"]
    # The slope to be learnt is 2 and both start alike: the larger rate is nearer, for each seed.
    final = {(row["recipe"], row["seed"]): float(row["value"]) for row in rows if row["step"] == "4"}
    assert all(abs(final["fast", seed] - 2) < abs(final["slow", seed] - 2) for seed in "01")
    assert (out / "results.png").stat().st_size > 1000

    again = compare(*words)
    assert again.returncode == 0
    assert "training" not in again.stdout
    assert (out / "results.md").read_text() == table

    (tmp_path / "fast.py").write_text(CONFIG.format(lr=0.4, iterations=4))
    changed = compare(*words)
    assert changed.returncode == 1
    assert "holds a run of fast, seed 0 with other settings" in changed.stderr


@pytest.mark.slow
def test_runs_that_are_cut_off_go_on_to_the_same_values(recipes, tmp_path, monkeypatch):
    words = [*recipes, "--seeds", "0", "--jobs", "2", "--cfg-options", "train_cfg.max_iters=60"]
    whole = compare(*words, "--out", str(tmp_path / "whole"))
    assert whole.returncode == 0, whole.stderr

    monkeypatch.setenv("TOY_SECONDS", "2")  # slow enough to be met at work
    command = [*COMPARE, *words, "--out", str(tmp_path / "cut")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        while len(list((tmp_path / "cut").glob("*/seed_0/*/vis_data/scalars.json"))) < 2:  # both have been evaluated
            assert running.poll() is None
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate()
    assert running.returncode == 3
    assert said.count("stopped; the next call goes on") == 2
    assert "The runs have not finished" in said
    assert "2 of 2 runs are to be continued by the same command" in said
    assert len(list((tmp_path / "cut").glob("*/seed_0/iter_*.pth"))) == 2  # though the interval is beyond the end

    monkeypatch.delenv("TOY_SECONDS")
    rest = compare(*words, "--out", str(tmp_path / "cut"))
    assert rest.returncode == 0, rest.stderr
    logs = [path.read_text() for path in (tmp_path / "cut").glob("*/seed_0/output.txt")]
    assert all("resumed epoch: 0, iter: " in log for log in logs)
    cut, expected = ((tmp_path / name / "results.csv").read_text() for name in ("cut", "whole"))
    assert cut == expected


def test_failed_runs_are_returned_and_nothing_is_compared(recipes, tmp_path):
    broken = Comparison(recipes, [1], tmp_path / "out", train_command=[sys.executable, "-c", "raise SystemExit(3)"])
    assert [run.name for run in broken.train()] == ["slow", "fast"]
    with pytest.raises(NothingToCompareError):
        broken.report()


def test_metrics_that_not_all_runs_have_are_refused(recipes, tmp_path):
    comparison = Comparison(recipes, [0], tmp_path, train_command=[])
    for run in comparison.runs:
        write_run(run.folder, [1.0, 2.0], finished=True)
    with pytest.raises(ValueError, match="'toy/absent'"):
        comparison.report(["toy/absent"])


def test_different_budgets_are_refused_unless_allowed(recipes, tmp_path):
    (tmp_path / "fast.py").write_text(CONFIG.format(lr=0.1, iterations=5))
    with pytest.raises(ValueError, match="different budgets"):
        Comparison(recipes, [0], tmp_path, train_command=[])
    Comparison(recipes, [0], tmp_path, train_command=[], cfg_options=["train_cfg.max_iters=3"])
    comparison = Comparison(recipes, [0], tmp_path, train_command=[], other_budgets=True)
    for run, values in zip(comparison.runs, ([4.0, 3.0], [2.0, 1.0, 0.5])):
        write_run(run.folder, values, finished=True)
    text = comparison.report()
    assert text.startswith("Budget of slow: 4 steps.\nBudget of fast: 6 steps.\n")
    assert "| toy/slope | fast | -2.5 |" in text


def test_runs_of_another_precision_are_refused(recipes, tmp_path):
    assert Comparison(recipes, [0], tmp_path, train_command=DONE, train_options=["--amp"]).train() == []
    with pytest.raises(ValueError, match="run of slow, seed 0 with other settings"):
        Comparison(recipes, [0], tmp_path, train_command=DONE).train()


def test_unequal_runs_are_compared_where_they_are_equal(tmp_path, recipes):
    """Two recipes of two seeds: seed 0 unequally far, seed 1 of one recipe alone."""
    comparison = Comparison(recipes, [0, 1], tmp_path / "out", train_command=[])
    for name, seed, values in (("slow", 0, [9, 7, 5]), ("fast", 0, [8, 4]), ("slow", 1, [1])):
        write_run(tmp_path / "out" / name / f"seed_{seed}", values)
    text = comparison.report(folder=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "results.md").read_text() == text
    assert not (tmp_path / "out" / "results.csv").exists()
    assert text.startswith("The runs have not finished; compared is the last step that they share.\nBudget: 4 steps.\n")
    assert "| toy/slope | slow | 7 | nan | 7 |" in text
    assert "| toy/slope | fast | -3 | +nan to +nan | -3 |" in text
    assert "| slow | 0 | 6 | 5 |" in text
    assert "| slow | 1 | 2 | 1 |" in text


def test_runs_side_by_side_share_the_cores(recipes, tmp_path, monkeypatch):
    says = [sys.executable, "-c", "import os; print('threads', os.environ.get('OMP_NUM_THREADS'))"]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    for jobs, given, expected in ((1, None, "None"), (3, None, "5"), (40, None, "1"), (3, "2", "2")):
        if given:
            monkeypatch.setenv("OMP_NUM_THREADS", given)
        out = tmp_path / f"{jobs}_{given}"
        assert Comparison(recipes, [0], out, train_command=says).train(jobs) == []
        assert (out / "slow" / "seed_0" / "output.txt").read_text() == f"threads {expected}\n"


#: In place of tools/train.py: logs what is missing up to the last word's number, every 2 steps.
CONTINUES = [
    sys.executable,
    "-c",
    "import json, pathlib, sys\n"
    "folder, end = pathlib.Path(sys.argv[3]), int(sys.argv[-1].split('=')[1])\n"
    "logs = list(folder.glob('*/vis_data/scalars.json'))\n"
    "done = sum(len(log.read_text().splitlines()) for log in logs) * 2\n"
    "log = folder / f'start_{len(logs)}' / 'vis_data' / 'scalars.json'\n"
    "log.parent.mkdir(parents=True)\n"
    "lines = [json.dumps({'toy/slope': 1 / step, 'step': step}) for step in range(done + 2, end + 1, 2)]\n"
    "log.write_text(''.join(line + chr(10) for line in lines))\n",
]


def test_a_larger_budget_continues_and_the_table_keeps_the_others(recipes, tmp_path):
    def train(names: list[str], seeds: list[int], iterations: int) -> str:
        comparison = Comparison(
            [str(tmp_path / f"{name}.py") for name in names],
            seeds,
            tmp_path / "out",
            train_command=CONTINUES,
            cfg_options=[f"train_cfg.max_iters={iterations}"],
        )
        assert comparison.train() == []
        return comparison.report()

    assert "Budget: 4 steps." in train(["slow", "fast"], [0, 1], 4)
    (tmp_path / "faster.py").write_text(CONFIG.format(lr=0.6, iterations=4))
    text = train(["slow", "faster"], [0], 6)
    assert "Budget: 6 steps." in text
    assert "| fast | 1 | 4 | 0.25 |" in text
    assert "| slow | 0 | 6 | 0.1667 |" in text
    rows = [(row["recipe"], row["seed"], row["step"]) for row in read_csv(tmp_path / "out" / "results.csv")]
    assert rows == [(*run, step) for run in (("fast", "0"), ("slow", "1"), ("fast", "1")) for step in "24"] + [
        (name, "0", step) for name in ("slow", "faster") for step in "246"
    ]
    # Continued rather than begun anew: one log for each of the two budgets.
    assert len(list((tmp_path / "out" / "slow" / "seed_0").glob("start_*"))) == 2
    # A run that has gone further is compared with others where they are equal.
    assert "Budget: 4 steps." in train(["slow", "fast"], [0, 1], 4)


#: In place of tools/test.py: leaves two values as mmengine does.
MEASURES = [
    sys.executable,
    "-c",
    "import json, pathlib, sys\n"
    "out = pathlib.Path(sys.argv[4], '2026_1')\n"
    "out.mkdir()\n"
    "(out / '2026_1.json').write_text(json.dumps({'net_train/frechet': 0.5, 'toy/slope': 9.0}))\n",
]


def test_what_was_measured_is_reported_beside_what_was_logged(recipes, tmp_path):
    comparison = Comparison(recipes, [0, 1], tmp_path / "out", train_command=[])
    for run in comparison.runs[:2]:
        write_run(run.folder, [8.0, 7.0], finished=True)
        (run.folder / "iter_4.pth").write_bytes(b"weights")
        (run.folder / "last_checkpoint").write_text(str(run.folder / "iter_4.pth"))
    assert [run.seed for run in comparison.unfinished] == [1, 1]
    assert comparison.measure(MEASURES, jobs=2) == []
    assert [run.seed for run in comparison.unmeasured] == [1, 1]
    text = comparison.report()
    assert "| net_train/frechet | fast | 0.5 | nan | 0.5 |" in text
    assert "| toy/slope | fast | 7 | nan | 7 |" in text  # what was logged, not the 9 that was measured


def test_bad_use_is_refused(recipes, tmp_path):
    for names, seeds, message in (([recipes[0]] * 2, [0], "file names"), (recipes, [1, 1], "seeds")):
        with pytest.raises(ValueError, match=message):
            Comparison(names, seeds, tmp_path, train_command=[])


def test_runs_come_seed_by_seed(recipes, tmp_path):
    comparison = Comparison(recipes, [3, 1], tmp_path, train_command=[])
    assert [run.folder.relative_to(tmp_path).as_posix() for run in comparison.runs] == [
        "slow/seed_3", "fast/seed_3", "slow/seed_1", "fast/seed_1",
    ]  # fmt: skip
