"""Anomaly detection through tools/test.py, from a checkpoint to the files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope

from nda_mm.compat import apply_patches
from nda_mm.evaluation.detection import MEASURES
from nda_mm.utils.files import recipe_path
from tools import test as test_tool

apply_patches()
pytest.importorskip("mmagic.models")

pytestmark = pytest.mark.usefixtures("quick")


def checkpoint(recipe: str, path: Path, **options: object) -> str:
    """An untrained model of a recipe, saved."""
    config = Config.fromfile(recipe_path(recipe))
    config.merge_from_dict(options)
    with DefaultScope.overwrite_default_scope(config.default_scope):
        torch.manual_seed(0)
        model = MODELS.build(config.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta=dict(iter=0, epoch=0)), path)
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ood_nda_biggan_digits.py", "ood_nda_classifier_digits.py"])
def test_digits_are_scored_by_one_command(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = checkpoint(recipe, tmp_path / "weights.pth")
    found = test_tool.main([str(recipe_path(recipe)), weights, "--work-dir", "run"])
    names = ["rotated", "inverted", "blurred", "letters", "mean"]
    assert set(found) == {f"ood/{name}/{measure}" for name in names for measure in MEASURES}
    assert all(0 <= value <= 1 for value in found.values())
    (results,) = (tmp_path / "run").glob("*/ood/results.json")
    content = json.loads(results.read_text())
    assert [(each["name"], each["count"]) for each in content["sets"]] == [(name, 445) for name in names[:-1]]
    assert {path.name for path in results.parent.iterdir()} == {"results.json", "results.csv", "scores.png", "roc.png"}
    assert f"ood/mean/auroc: {found['ood/mean/auroc']}" in capsys.readouterr().out
