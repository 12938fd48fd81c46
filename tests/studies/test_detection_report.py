"""Tables of anomaly detection over seeds, from the files that the metric writes."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from nda_mm.evaluation.ood import MEASURES
from nda_mm.evaluation.ood_report import SetResult, write_results
from nda_mm.studies.detection_report import compare_detection

TOOL = Path(__file__).resolve().parents[2] / "tools" / "compare_ood.py"


def make_results(folder: Path, value: float, *, count: int = 9) -> None:
    sets = [
        SetResult(name, count, "", dict.fromkeys(MEASURES, each), {})
        for name, each in (("svhn", value), ("c/fog", value + 0.1), ("c/snow", value + 0.3))
    ]
    write_results(folder, sets, dict(inside="Digits", inside_split="test", inside_count=9))


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for name, values in (("plain", (0.5, 0.4)), ("nda", (0.7, 0.5))):
        for seed, value in enumerate(values):
            make_results(tmp_path / name / f"seed_{seed}" / "20260101_000000" / "ood", value)
    return [tmp_path / "plain", tmp_path / "nda"]


def test_tables_hold_sets_families_and_means(folders: list[Path]) -> None:
    lines = compare_detection(folders).splitlines()
    assert lines[0] == "Final values over seeds 0, 1 (n = 2)."
    assert "| svhn auroc | plain | 0.45 | 0.0707 | 0.5, 0.4 |" in lines
    assert "| c auroc | nda | 0.8 | 0.141 | 0.9, 0.7 |" in lines
    assert "| mean auroc | nda | 0.7 | 0.141 | 0.8, 0.6 |" in lines
    (difference,) = [line for line in lines if line.startswith("| mean auroc | nda | +")]
    # t with one degree of freedom is 12.7062; the differences 0.2 and 0.1 have a standard error of 0.05
    assert difference == "| mean auroc | nda | +0.15 | -0.4853 to +0.7853 | +0.2, +0.1 |"
    assert "c/fog" not in "".join(lines)
    assert "| svhn fpr95 | plain |" in compare_detection(folders, ["fpr95"])


def test_of_two_tests_the_newest_counts(folders: list[Path]) -> None:
    newest = folders[1] / "seed_0" / "0_named_first" / "ood"
    make_results(newest, 0.1)
    os.utime(newest / "results.json", (2e9, 2e9))
    assert "| svhn auroc | nda | 0.3 | 0.283 | 0.1, 0.5 |" in compare_detection(folders)


def test_what_does_not_compare_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"there is no .*absent/seed_N/.*results\.json; test each seed with --work-dir"
    ):
        compare_detection([*folders, tmp_path / "absent"])
    with pytest.raises(ValueError, match=r"different recipes, but are \['nda', 'nda'\]"):
        compare_detection([folders[1]] * 2)
    make_results(folders[1] / "seed_2", 0.5)
    with pytest.raises(ValueError, match=r"plain was tested with the seeds \[0, 1\] and nda with \[0, 1, 2\]"):
        compare_detection(folders)
    make_results(folders[0] / "seed_2", 0.5, count=8)
    with pytest.raises(ValueError, match=r"plain, seed 2, was not tested as plain, seed 0: .*'svhn': 8"):
        compare_detection(folders)


def test_the_command(folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("compare_ood", TOOL)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    words = [*map(str, folders), "--measures", "auroc", "fpr95", "--out", str(tmp_path / "deep" / "table.md")]
    assert tool.main(words) == 0
    assert (tmp_path / "deep" / "table.md").read_text() == compare_detection(folders, ["auroc", "fpr95"])
    assert "| mean fpr95 | nda |" in capsys.readouterr().out
    assert tool.main([str(tmp_path / "absent")]) == 1
    assert "compare_ood: there is no" in capsys.readouterr().err
