"""Anomaly detection through tools/test.py, from a checkpoint to the files, on the embedded sets and on real ones."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path
from types import ModuleType

import mmengine.runner.runner
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope

from nda_mm.compat import apply_patches
from nda_mm.evaluation.detection import MEASURES
from nda_mm.utils.files import recipe_path

apply_patches()
pytest.importorskip("mmagic.models")

ROOT = Path(__file__).resolve().parents[2]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tool_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


test_tool = load(ROOT / "tools" / "test.py")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mmengine.runner.runner, "collect_env", dict)
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.slow
def test_cifar10_against_cifar100_of_ones_own(needs_shared_data: Path, tmp_path: Path) -> None:
    for name in ("cifar10", "cifar100"):
        with zipfile.ZipFile(needs_shared_data / f"{name}_test.zip") as archive:
            every = {"cifar10": 100, "cifar100": 100}[name]
            archive.extractall(tmp_path, [each for each in archive.namelist() if each.endswith(".png")][::every])
    widths = {f"model.{name}.base_channels": 4 for name in ("generator", "discriminator")}
    options = dict(widths)
    for place, name in (
        ("test_dataloader.dataset", "cifar10"),
        ("test_evaluator.metrics.0.outside.cifar100", "cifar100"),
    ):
        options |= {f"{place}.data_root": str(tmp_path / name), f"{place}.allow_partial": True}
    words = [f"{key}={value}" for key, value in options.items()] + ["test_evaluator.metrics.0.only=['cifar100']"]
    weights = checkpoint("ood_nda_biggan_cifar10.py", tmp_path / "weights.pth", **widths)
    command = [str(recipe_path("ood_nda_biggan_cifar10.py")), weights, "--work-dir", "run"]
    found = test_tool.main([*command, "--cfg-options", *words])
    assert set(found) == {f"ood/{name}/{measure}" for name in ("cifar100", "mean") for measure in MEASURES}
    assert found["ood/mean/auroc"] == found["ood/cifar100/auroc"] != 0.5
    with pytest.raises(ValueError, match=r"(?s)99 of 100 OOD sets.*svhn: SVHN"):
        test_tool.main([*command, "--cfg-options", *words[:-1]])
