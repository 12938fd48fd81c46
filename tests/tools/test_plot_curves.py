"""tools/analysis_tools/plot_curves.py on logs as mmengine writes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from small_jobs import write_log

from tools.analysis_tools import plot_curves


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """Two runs; the second was cut off after step 20 and resumed from step 10."""
    plain, nda = tmp_path / "plain", tmp_path / "nda"
    steps = [dict(lr=0.1, loss_real=1 / step, time=0.5, iter=step, step=step) for step in (10, 20)]
    write_log(plain, [*steps, {"digits/frechet": 7.0, "step": 20}])
    write_log(nda, steps)
    resumed = [dict(lr=0.1, loss_real=0.25, iter=20, step=20), {"digits/frechet": 5.5, "step": 20}]
    write_log(nda, resumed, "20260102_000000")
    return [str(plain), str(nda)]


def test_runs_are_drawn_and_their_last_values_printed(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawn" / "curves.png"
    plot_curves.main([*runs, "--out", str(out)])
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines() if "|" in line
    ]
    assert rows[0] == ["value", *runs]
    assert rows[2:] == [
        ["train/loss_real", "0.05 (step 20)", "0.25 (step 20)"],
        ["digits/frechet", "7 (step 20)", "5.5 (step 20)"],
    ]
    two_panels = Image.open(out).height
    plot_curves.main([*runs, "--keys", "*/frechet", "--out", str(out)])
    assert "train/" not in capsys.readouterr().out
    assert Image.open(out).height == two_panels // 2


def test_a_key_or_run_without_values_is_refused(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keys .*'loss_real'.*train/loss_real"):
        plot_curves.main([*runs, "--keys", "loss_real"])
    with pytest.raises(ValueError, match="empty"):
        plot_curves.main([*runs, str(tmp_path / "empty")])
