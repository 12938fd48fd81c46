"""The table of all runs: rows with their budget, renewed or kept."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace

from nda_mm.studies.run_table import Row, add_rows, every_run, rows_of


@dataclass(frozen=True)
class ARun:
    name: str
    seed: int


def test_rows_have_their_budget():
    config = dict(
        model=dict(discriminator=dict(type="D"), discriminator_steps=4),
        val_evaluator=dict(metrics=[dict(fake_nums=500), dict(fake_nums=500), dict(type="Other")]),
    )
    curves = {ARun("nda", 3): {"net/frechet": [(8, 9.0), (17, 5.0)]}}
    assert rows_of(curves, dict(nda=config)) == [
        Row("nda", 3, "net/frechet", 8, 9.0, 2, 500),
        Row("nda", 3, "net/frechet", 17, 5.0, 4, 500),
    ]


def test_runs_of_this_call_are_renewed_and_others_stay(tmp_path):
    path = tmp_path / "results.csv"
    plain = [Row("plain", 0, "net/frechet", step, 10.0 - step, step // 4, 100) for step in (4, 8)]
    other = Row("plain", 1, "net/frechet", 8, 1.25, 2, 100)
    assert add_rows(path, [*plain, other]) == [*plain, other]
    stitch = Row("stitch", 0, "net/recall", 8, 0.5)
    longer = [*plain[:1], replace(plain[1], value=1.5), Row("plain", 0, "net/frechet", 12, 1.0, 3, 100)]
    merged = add_rows(path, [*longer, stitch])
    assert merged == [other, *longer, stitch]
    with path.open() as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["recipe", "seed", "metric", "step", "value", "generator_step", "samples"]
    assert [row["value"] for row in read] == ["1.25", "6.0", "1.5", "1.0", "0.5"]
    assert (read[-1]["generator_step"], read[-1]["samples"]) == ("", "")
    assert not list(tmp_path.glob("*.part"))


def test_a_table_of_before_budgets_is_read(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("recipe,seed,metric,step,value\nplain,0,net/frechet,8,2.5\n")
    assert add_rows(path, []) == [Row("plain", 0, "net/frechet", 8, 2.5)]


def test_every_run_stands_with_its_last_values():
    rows = [
        Row("plain", 0, "frechet", 40_000, 12.345678, 10_000, 500),
        Row("plain", 0, "frechet", 20_000, 20.0, 5_000, 500),
        Row("nda", 0, "frechet", 20_000, 18.0, 5_000, 500),
        Row("nda", 0, "recall", 20_000, 0.5, 5_000, 500),
    ]
    text = every_run(rows)
    assert "| recipe | seed | step | generator steps | samples | frechet | recall |" in text
    assert "| plain | 0 | 40,000 | 10,000 | 500 | 12.35 |  |" in text
    assert "| nda | 0 | 20,000 | 5,000 | 500 | 18 | 0.5 |" in text
    assert "| moco | 1 | 2 | 50 |" in every_run([Row("moco", 1, "knn", 2, 50.0)])
