"""Tables of anomaly detection over seeds, from the files that the metric writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mmengine.config import Config
from small_jobs import COUNTS, FAILS

from nda_mm.evaluation.detection import MEASURES
from nda_mm.evaluation.ood_report import OODResult, write_results
from nda_mm.studies.detection import compare_detection, detect_with_runs


def make_results(folder: Path, value: float, *, count: int = 9) -> None:
    sets = [
        OODResult(name, count, "", dict.fromkeys(MEASURES, each), {})
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
    # t with one degree of freedom is 12.7062; the differences 0.2 and 0.1 have a standard error of 0.05
    assert "| mean auroc | nda | +0.15 | -0.4853 to +0.7853 | +0.2, +0.1 |" in lines
    assert "c/fog" not in "".join(lines)
    assert "| svhn fpr95 | plain |" in compare_detection(folders, ["fpr95"])


def test_of_two_tests_the_newest_counts(folders: list[Path]) -> None:
    newest = folders[1] / "seed_0" / "0_named_first" / "ood"
    make_results(newest, 0.1)
    os.utime(newest / "results.json", (2e9, 2e9))
    assert "| svhn auroc | nda | 0.3 | 0.283 | 0.1, 0.5 |" in compare_detection(folders)


def test_what_does_not_compare_is_refused(folders: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent/seed_N"):
        compare_detection([*folders, tmp_path / "absent"])
    make_results(folders[1] / "seed_2", 0.5)
    with pytest.raises(ValueError, match="different seeds"):
        compare_detection(folders)
    assert compare_detection(folders, shared=True).startswith("Final values over seeds 0, 1 (n = 2).")
    make_results(folders[0] / "seed_2", 0.5, count=8)
    with pytest.raises(ValueError, match=r"plain, seed 2, was not tested as plain, seed 0: .*'svhn': 8"):
        compare_detection(folders)


def test_a_classifier_leaves_open_what_discriminators_have_to_share(tmp_path: Path) -> None:
    result = OODResult("near/tin", 9, "OpenOOD's list", dict.fromkeys(MEASURES, 0.7), {})
    for name, settings in (
        ("msp", dict(classes=0)),
        ("gan", dict(classes=10, class_reduction="max")),
        ("other", dict(classes=10, class_reduction="mean")),
    ):
        protocol = dict(benchmark="OpenOOD v1.5, CIFAR-10", inside="OpenOODImages", inside_split="test", inside_count=9)
        write_results(tmp_path / name / "seed_0", [result], {**protocol, **settings})
    recipes = [tmp_path / "msp", tmp_path / "gan"]
    assert "| near auroc | gan | 0.7 | nan | 0.7 |" in compare_detection(recipes)
    with pytest.raises(ValueError, match="class_reduction"):
        compare_detection([*recipes, tmp_path / "other"])


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Finished runs: two seeds of the plain recipe, one of the other; and one that has not finished."""
    for name, seed in (("biggan", 0), ("biggan", 1), ("nda_biggan", 1), ("nda_biggan", 2)):
        run = tmp_path / "runs" / name / f"seed_{seed}"
        run.mkdir(parents=True)
        (run / f"{name}.py").write_text("model = dict(width=4)\ntest_evaluator = dict(type='Frechet')\ntest_cfg = {}\n")
        (run / "iter_20.pth").write_bytes(b"weights")
        (run / "last_checkpoint").write_text(str(run / "iter_20.pth"))
        if seed < 2:
            (run / "finished.json").write_text("{}")
    loop, evaluator = "test_cfg = dict(type='MultiTestLoop')", "test_evaluator = dict(type='OOD')"
    (tmp_path / "ood.py").write_text(f"model = dict(width=64)\n{evaluator}\n{loop}\n")
    return tmp_path / "runs"


def test_finished_runs_are_tested_once_as_they_were_trained(comparison: Path, tmp_path: Path) -> None:
    folders = detect_with_runs(comparison, str(tmp_path / "ood.py"), test_command=COUNTS, jobs=2)
    assert folders == [comparison / "ood" / name for name in ("biggan", "nda_biggan")]
    tested = sorted(path.relative_to(comparison / "ood").as_posix() for path in (comparison / "ood").glob("*/seed_*"))
    assert tested == ["biggan/seed_0", "biggan/seed_1", "nda_biggan/seed_1"]
    config = Config.fromfile(comparison / "ood" / "biggan" / "seed_0" / "recipe.py")
    assert (config.model.width, config.test_evaluator.type, config.test_cfg.type) == (4, "OOD", "MultiTestLoop")
    assert detect_with_runs(comparison, str(tmp_path / "ood.py"), test_command=FAILS) == folders


def test_runs_that_cannot_be_tested_are_refused(comparison: Path, tmp_path: Path) -> None:
    recipe = str(tmp_path / "ood.py")
    with pytest.raises(ValueError, match=r"no finished run .*/sngan/seed_N"):
        detect_with_runs(comparison, recipe, ["biggan", "sngan"], test_command=COUNTS)
    with pytest.raises(ValueError, match=r"the tests of biggan, seed_0; biggan, seed_1 failed"):
        detect_with_runs(comparison, recipe, ["biggan"], test_command=FAILS)
