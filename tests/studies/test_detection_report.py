"""Tables of anomaly detection over seeds, from the files that the metric writes."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from nda_mm.evaluation.ood import MEASURES
from nda_mm.evaluation.ood_report import SetResult, write_results
from nda_mm.studies.detection_report import compare_detection, detect_with_runs

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


#: In place of tools/test.py: leaves results as the metric does, better ones for "nda".
DETECT = [
    sys.executable,
    "-c",
    "import json, pathlib, sys\n"
    "from mmengine.config import Config\n"
    "config, checkpoint, _, folder = sys.argv[1:5]\n"
    "cfg = Config.fromfile(config)\n"
    "assert (cfg.model.width, cfg.test_evaluator.type, pathlib.Path(checkpoint).is_file()) == (4, 'OOD', True)\n"
    "out = pathlib.Path(folder, '20260101_000000', 'ood')\n"
    "out.mkdir(parents=True)\n"
    "value = 0.75 if 'nda' in folder else 0.5\n"
    "measures = {'auroc': value}\n"
    "content = dict(protocol=dict(inside='CIFAR10'), means=dict(mean=measures),\n"
    "    sets=[dict(name='cifar100', count=9, values=measures)])\n"
    "(out / 'results.json').write_text(json.dumps(content))\n"
    "(out.parent / f'{out.parent.name}.json').write_text(json.dumps({'ood/mean/auroc': value}))\n",
]


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Finished runs: two seeds of the plain recipe, one of the other; and one that has not finished."""
    for name, seed in (("biggan", 0), ("biggan", 1), ("nda_biggan", 1), ("nda_biggan", 2)):
        run = tmp_path / "runs" / name / f"seed_{seed}"
        run.mkdir(parents=True)
        (run / f"{name}.py").write_text("model = dict(width=4)\ntest_evaluator = dict(type='Frechet')\n")
        (run / "iter_20.pth").write_bytes(b"weights")
        (run / "last_checkpoint").write_text(str(run / "iter_20.pth"))
        if seed < 2:
            (run / "finished.json").write_text("{}")
    (tmp_path / "ood.py").write_text("model = dict(width=64)\ntest_evaluator = dict(type='OOD')\n")
    return tmp_path / "runs"


def test_runs_of_a_comparison_are_tested_as_they_were_trained(comparison: Path, tmp_path: Path) -> None:
    folders = detect_with_runs(comparison, str(tmp_path / "ood.py"), test_command=DETECT, jobs=2)
    assert folders == [comparison / "ood" / name for name in ("biggan", "nda_biggan")]
    text = compare_detection(folders, shared=True)
    assert text.startswith("Final values over seeds 1 (n = 1).")
    assert "| cifar100 auroc | nda_biggan | +0.25 | +nan to +nan | +0.25 |" in text
    assert not (comparison / "ood" / "nda_biggan" / "seed_2").exists()
    # Tested once: a command that fails is not called any more.
    again = detect_with_runs(comparison, str(tmp_path / "ood.py"), test_command=[sys.executable, "-c", "exit(1)"])
    assert again == folders


def test_runs_that_cannot_be_tested_are_refused(comparison: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no finished run .*/sngan/seed_N; train it by tools/compare.py"):
        detect_with_runs(comparison, str(tmp_path / "ood.py"), ["biggan", "sngan"], test_command=DETECT)
    with pytest.raises(ValueError, match=r"the tests of biggan, seed_0; biggan, seed_1 failed, see their output.txt"):
        detect_with_runs(
            comparison, str(tmp_path / "ood.py"), ["biggan"], test_command=[sys.executable, "-c", "exit(1)"]
        )
    (tmp_path / "bare.py").write_text("model = dict(width=64)\n")
    with pytest.raises(ValueError, match=r"bare.py has no test_evaluator to test the runs by"):
        detect_with_runs(comparison, str(tmp_path / "bare.py"), test_command=DETECT)


def test_recipes_without_a_common_seed_do_not_compare(tmp_path: Path) -> None:
    for name, seed in (("plain", 0), ("nda", 1)):
        make_results(tmp_path / name / f"seed_{seed}", 0.5)
    with pytest.raises(ValueError, match="plain, nda have no seed in common that was tested"):
        compare_detection([tmp_path / "plain", tmp_path / "nda"], shared=True)
