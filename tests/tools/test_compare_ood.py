"""tools/compare_ood.py on the finished runs of a comparison, by the real tools/test.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine import Config

from nda_mm.compat import apply_patches
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmagic.models")
pytest.importorskip("sklearn")


@pytest.mark.slow
def test_runs_are_tested_and_compared_by_one_command(
    tmp_path: Path, untrained: Callable[..., str], command: Callable[..., str]
) -> None:
    wider = {"model.discriminator.arch_cfg.out_channels": [16, 32, 80]}
    for recipe in (
        "biggan_digits",
        "nda_biggan_digits",
    ):  # laid out as runs of tools/compare.py, wider than recipes say
        folder = tmp_path / "runs" / recipe / "seed_3"
        folder.mkdir(parents=True)
        config = Config.fromfile(recipe_path(recipe))
        config.merge_from_dict(wider)
        config.dump(folder / f"{recipe}.py")
        (folder / "last_checkpoint").write_text(untrained(recipe, folder / "iter_9.pth", **wider))
        (folder / "finished.json").write_text("{}")
    words = ["--runs", "runs", "--recipe", "ood_biggan_digits.py", "--only", "letters", "blurred", "--jobs", "2"]
    said = command("compare_ood.py", *words, "--cfg-options", "test_evaluator.metrics.0.resamples=9")
    written = (tmp_path / "runs" / "ood" / "ood.md").read_text()
    assert written in said
    assert written.startswith("Final values over seeds 3 (n = 1).")
    values = {}
    for recipe in ("biggan_digits", "nda_biggan_digits"):
        folder = tmp_path / "runs" / "ood" / recipe / "seed_3"
        (results,) = folder.rglob("results.json")
        content = json.loads(results.read_text())
        assert [each["name"] for each in content["sets"]] == ["letters", "blurred"]
        values[recipe] = content["means"]["mean"]["auroc"]
        assert f"| mean auroc | {recipe} | {values[recipe]:.4g} | nan |" in written
    assert 0 <= values["biggan_digits"] <= 1
    # One seed and one network, which the negatives are no part of.
    assert values["biggan_digits"] == values["nda_biggan_digits"]
