"""Comparisons of logs, and of runs that small processes stand for; real ones are in tests/tools/test_compare.py."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from mmengine.config import Config
from small_jobs import COUNTS, DONE, FAILS, python, write_log

from nda_mm.studies.comparison import Comparison, NothingToCompareError, generator_step, sample_count
from nda_mm.utils.files import recipe_path


@pytest.fixture
def recipes(tmp_path) -> list[str]:
    for name in ("slow", "fast"):
        write_recipe(tmp_path / f"{name}.py")
    return [str(tmp_path / "slow.py"), str(tmp_path / "fast.py")]


def write_recipe(path: Path, iterations: int = 4) -> None:
    path.write_text(f"model = dict(type='ToyLine')\ntrain_cfg = dict(max_iters={iterations}, val_interval=2)\n")


def write_run(folder: Path, values: list[float], *, finished: bool = False) -> None:
    """A run as mmengine logs it: a value every 2 steps."""
    write_log(folder, [{"toy/slope": value, "step": 2 * n + 2} for n, value in enumerate(values)])
    if finished:
        (folder / "finished.json").write_text("{}")


def test_without_a_shared_evaluation_nothing_is_compared(recipes, tmp_path):
    comparison = Comparison(recipes, [0], tmp_path, train_command=FAILS)
    assert [run.name for run in comparison.train()] == ["slow", "fast"]
    with pytest.raises(NothingToCompareError):
        comparison.report()
    for run in comparison.runs:
        write_run(run.folder, [1.0, 2.0], finished=True)
    with pytest.raises(ValueError, match="'toy/absent'"):
        comparison.report(["toy/absent"])


def test_different_budgets_are_refused_unless_allowed(recipes, tmp_path):
    write_recipe(tmp_path / "fast.py", 5)
    with pytest.raises(ValueError, match="different budgets"):
        Comparison(recipes, [0], tmp_path, train_command=[])
    comparison = Comparison(recipes, [0], tmp_path, train_command=[], other_budgets=True)
    for run, values in zip(comparison.runs, ([4.0, 3.0], [2.0, 1.0, 0.5])):
        write_run(run.folder, values, finished=True)
    text = comparison.report()
    assert text.startswith("Budget of slow: 4 steps.\nBudget of fast: 6 steps.\n")
    assert "| toy/slope | fast | -2.5 |" in text


def test_runs_of_another_precision_are_refused(recipes, tmp_path):
    assert Comparison(recipes, [0], tmp_path, train_command=DONE, train_options=["--amp"]).train() == []
    with pytest.raises(ValueError, match="run of slow, seed 0 .*course"):
        Comparison(recipes, [0], tmp_path, train_command=DONE).train()


def test_unequal_runs_are_compared_where_they_are_equal(tmp_path, recipes):
    """Two recipes of two seeds: seed 0 unequally far, seed 1 of one recipe alone."""
    comparison = Comparison(recipes, [0, 1], tmp_path / "out", train_command=[])
    for name, seed, values in (("slow", 0, [9, 7, 5]), ("fast", 0, [8, 4]), ("slow", 1, [1])):
        write_run(tmp_path / "out" / name / f"seed_{seed}", values)
    text = comparison.report(folder=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "results.md").read_text() == text
    assert not (tmp_path / "out" / "results.csv").exists()
    expected = "The runs have not finished, so they are compared at the last step that they share.\nBudget: 4 steps.\n"
    assert text.startswith(expected)
    assert "| toy/slope | slow | 7 | nan | 7 |" in text
    assert "| toy/slope | fast | -3 | +nan to +nan | -3 |" in text
    assert "| slow | 0 | 6 | 5 |" in text
    assert "| slow | 1 | 2 | 1 |" in text


#: In place of tools/train.py: logs what is missing up to the last word's number, every 2 steps.
CONTINUES = python(
    "import json, pathlib, sys\n"
    "folder, end = pathlib.Path(sys.argv[3]), int(sys.argv[-1].split('=')[1])\n"
    "logs = list(folder.glob('*/vis_data/scalars.json'))\n"
    "done = sum(len(log.read_text().splitlines()) for log in logs) * 2\n"
    "log = folder / f'start_{len(logs)}' / 'vis_data' / 'scalars.json'\n"
    "log.parent.mkdir(parents=True)\n"
    "lines = [json.dumps({'toy/slope': 1 / step, 'step': step}) for step in range(done + 2, end + 1, 2)]\n"
    "log.write_text(''.join(line + chr(10) for line in lines))\n"
)


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
    write_recipe(tmp_path / "faster.py")
    text = train(["slow", "faster"], [0], 6)
    assert "Budget: 6 steps." in text
    assert "| fast | 1 | 4 | 0.25 |" in text
    assert "| slow | 0 | 6 | 0.1667 |" in text
    with (tmp_path / "out" / "results.csv").open() as file:
        rows = [(row["recipe"], row["seed"], row["step"]) for row in csv.DictReader(file)]
    assert rows == [(*run, step) for run in (("fast", "0"), ("slow", "1"), ("fast", "1")) for step in "24"] + [
        (name, "0", step) for name in ("slow", "faster") for step in "246"
    ]
    # Continued rather than begun anew: one log for each of the two budgets.
    assert len(list((tmp_path / "out" / "slow" / "seed_0").glob("start_*"))) == 2
    # A run that has gone further is compared with others where they are equal.
    assert "Budget: 4 steps." in train(["slow", "fast"], [0, 1], 4)


def test_what_was_measured_is_reported_beside_what_was_logged(recipes, tmp_path):
    comparison = Comparison(recipes, [0, 1], tmp_path / "out", train_command=[])
    for run in comparison.runs[:2]:
        write_run(run.folder, [8.0, 7.0], finished=True)
        (run.folder / "iter_4.pth").write_bytes(b"weights")
        (run.folder / "last_checkpoint").write_text(str(run.folder / "iter_4.pth"))
    assert [run.seed for run in comparison.unfinished] == [1, 1]
    assert comparison.measure(COUNTS, jobs=2) == []
    assert [run.seed for run in comparison.unmeasured] == [1, 1]
    text = comparison.report()
    assert "| net/frechet | fast | 0.5 | nan | 0.5 |" in text
    assert "| toy/slope | fast | 7 | nan | 7 |" in text  # what was logged, not the 9 that was measured


def test_runs_come_seed_by_seed_and_repeated_ones_are_refused(recipes, tmp_path):
    comparison = Comparison(recipes, [3, 1], tmp_path, train_command=[])
    found = [run.folder.relative_to(tmp_path).as_posix() for run in comparison.runs]
    assert found == ["slow/seed_3", "fast/seed_3", "slow/seed_1", "fast/seed_1"]
    for names, seeds, message in (([recipes[0]] * 2, [0], "file names"), (recipes, [1, 1], "seeds")):
        with pytest.raises(ValueError, match=message):
            Comparison(names, seeds, tmp_path, train_command=[])


def test_budgets_of_recipes():
    for recipe, steps, samples in (("biggan_imagenet128", 187_500, None), ("classifier_digits", None, None)):
        config = Config.fromfile(recipe_path(recipe))
        assert generator_step(config, config.train_cfg.get("max_iters", 0)) == steps
        assert config.get("generator_steps", steps) == steps  # what the recipe says of itself
        assert sample_count(config) == samples
    # Metrics with different numbers of samples have no one number.
    metrics = [dict(type="A", fake_nums=500), dict(type="B", fake_nums=400), dict(type="C")]
    assert sample_count(dict(val_evaluator=dict(metrics=metrics))) is None
    assert sample_count(dict(val_evaluator=metrics[1:])) == 400
