"""The table of runs: from logs as mmengine writes them, and statistics against scipy's own tests."""

from __future__ import annotations

import pandas as pd
import pytest
import scipy.stats
from small_jobs import write_log

from nda_mm.studies.table import (
    add_rows,
    every_run,
    final_values,
    paired_interval,
    paired_tables,
    read_evaluations,
)

COLUMNS = ["recipe", "seed", "metric", "step", "value", "generator_step", "samples"]


def rows(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


def runs(*lines: tuple) -> pd.DataFrame:
    table = pd.DataFrame([(*line, *(None,) * (7 - len(line))) for line in lines], columns=COLUMNS)
    return table.astype({"generator_step": "Int64", "samples": "Int64"})


def test_evaluations_of_a_resumed_and_killed_run(tmp_path):
    assert read_evaluations(tmp_path).empty
    write_log(
        tmp_path,
        [
            dict(base_lr=0.1, lr=0.1, loss_disc=1.0, time=0.1, iter=50, step=50),
            {"net/frechet": 9.0, "data_time": 0.1, "time": 0.2, "step": 100},
            {"generator/base_lr": 0.1, "iter": 150, "step": 150},
            {"net/frechet": 5.0, "step": 200},
            '{"net/frechet": 4.0, "st',  # killed here
        ],
    )
    later = [{"net/frechet": 6.0, "step": 200}, {"net/frechet": 3.0, "net/x": 1, "step": 300}]
    write_log(tmp_path, later, "20260102_000000")
    assert rows(read_evaluations(tmp_path)) == [
        ("net/frechet", 100, 9.0),
        ("net/frechet", 200, 6.0),
        ("net/frechet", 300, 3.0),
        ("net/x", 300, 1.0),
    ]


def test_a_training_without_an_evaluation_is_read_from_its_own_lines(tmp_path):
    lines = [dict(base_lr=0.1, lr=0.1, loss=2.0 / n, top1_accuracy=0.25 * n, time=0.1, epoch=n, step=n) for n in (1, 2)]
    write_log(tmp_path, [*lines, {"acc/top1": 0.5, "step": 2}])
    assert rows(read_evaluations(tmp_path)) == [("acc/top1", 2, 0.5)]
    found = read_evaluations(tmp_path, training=True)
    assert rows(found[found["metric"] == "train/loss"]) == [("train/loss", 1, 2.0), ("train/loss", 2, 1.0)]
    assert set(found["metric"]) == {"train/loss", "train/top1_accuracy"}


def test_rows_of_the_same_runs_are_replaced_and_others_stay(tmp_path):
    path = tmp_path / "results.csv"
    plain = [("plain", 0, "net/frechet", step, 10.1 - step, step // 4, 100) for step in (4, 8)]
    other = ("plain", 1, "net/frechet", 8, 1.25, 2, 100)
    add_rows(path, runs(*plain, other))
    longer = [*plain[:1], ("plain", 0, "net/frechet", 12, 1.0, 3, 100)]
    merged = add_rows(path, runs(*longer, ("stitch", 0, "net/recall", 8, 0.5)))
    assert rows(merged[:3]) == [other, *longer]
    lines = path.read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[2:] == [f"plain,0,net/frechet,4,{10.1 - 4},1,100", "plain,0,net/frechet,12,1.0,3,100",
                         "stitch,0,net/recall,8,0.5,,"]  # fmt: skip


def test_every_run_is_listed_with_its_last_values():
    text = every_run(
        runs(
            ("plain", 0, "frechet", 40_000, 12.345678, 10_000, 500),
            ("plain", 0, "frechet", 20_000, 20.0, 5_000, 500),
            ("nda", 0, "recall", 20_000, 0.5, 5_000, 500),
        )
    )
    assert "| recipe | seed | step | generator steps | samples | frechet | recall |" in text
    assert "| plain | 0 | 40,000 | 10,000 | 500 | 12.35 |  |" in text
    assert "| nda | 0 | 20,000 | 5,000 | 500 |  | 0.5 |" in text
    assert "| moco | 1 | 2 | 50 |" in every_run(runs(("moco", 1, "knn", 2, 50.0)))


TOP1 = {"scratch": [20.0, 25.0, 21.0], "plain": [80.0, 82.0, 84.0], "nda": [83.0, 83.0, 88.0]}


def final(*without: tuple[str, int]) -> pd.DataFrame:
    """The last values of the arms; of an earlier step they are 1."""
    last = [(arm, seed, "top1", 10, value) for arm, values in TOP1.items() for seed, value in enumerate(values)]
    last = [row for row in last if row[:2] not in without]
    return final_values(runs(*((*row[:3], 5, 1.0) for row in last), *last))


def test_without_several_values_there_is_no_interval():
    for values in ([1.0], [1.0, float("nan"), 2.0]):
        assert paired_interval(pd.Series(values)) == pytest.approx((float("nan"),) * 2, nan_ok=True)


def test_tables_of_values_and_of_differences_from_each_baseline():
    text = paired_tables(final(), list(TOP1), [0, 1, 2], ["scratch", "plain"])
    for arm, values in TOP1.items():
        mean, sd = sum(values) / 3, scipy.stats.tstd(values)
        assert f"| top1 | {arm} | {mean:.4g} | {sd:.3g} | {', '.join(f'{v:.4g}' for v in values)} |" in text
    first, second = text.split("Paired differences from ")[1:]
    assert first.startswith("scratch") and second.startswith("plain")
    for part, arm, baseline in ((first, "plain", "scratch"), (first, "nda", "scratch"), (second, "nda", "plain")):
        low, high = scipy.stats.ttest_rel(TOP1[arm], TOP1[baseline]).confidence_interval(0.95)
        assert f"| top1 | {arm} |" in part and f"| {low:+.4g} to {high:+.4g} |" in part
    assert "| scratch |" not in second  # not a second time the other way round
    assert "Missing" not in text


def test_missing_values_are_named_and_left_out_pair_by_pair():
    text = paired_tables(final(("plain", 1)), list(TOP1), [0, 1, 2], ["scratch", "plain"])
    assert "- top1 of plain, seed 1\n" in text
    assert "| top1 | plain | 82 | 2.83 | 80, 84 |" in text
    assert "| +60, +63 |" in text  # plain from scratch: seeds 0 and 2
    assert "| +63, +58, +67 |" in text  # nda from scratch: all
    none = paired_tables(final(*(("scratch", seed) for seed in range(3))), list(TOP1), [0, 1, 2], list(TOP1)[:2])
    assert "- top1 of scratch, seed 0, 1, 2\n" in none
    assert "differences from scratch" not in none
    assert "| +3, +1, +4 |" in none
