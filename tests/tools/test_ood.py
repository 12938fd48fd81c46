"""Anomaly detection through tools/test.py, from a checkpoint to the files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.registry import MODELS, DefaultScope
from PIL import Image

from nda_mm.compat import apply_patches
from nda_mm.evaluation.detection import MEASURES, detection_measures
from nda_mm.utils.files import recipe_path
from tools import test as test_tool

apply_patches()
pytest.importorskip("mmagic.models")

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["ood_nda_biggan_digits.py", "ood_nda_classifier_digits.py"])
def test_digits_are_scored_by_one_command(
    recipe: str, tmp_path: Path, untrained: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = untrained(recipe, tmp_path / "weights.pth")
    found = test_tool.main([str(recipe_path(recipe)), weights, "--work-dir", "run"])
    names = ["rotated", "inverted", "blurred", "letters", "mean"]
    assert set(found) == {f"ood/{name}/{measure}" for name in names for measure in MEASURES}
    assert all(0 <= value <= 1 for value in found.values())
    (results,) = (tmp_path / "run").glob("*/ood/results.json")
    content = json.loads(results.read_text())
    assert [(each["name"], each["count"]) for each in content["sets"]] == [(name, 445) for name in names[:-1]]
    assert {path.name for path in results.parent.iterdir()} == {"results.json", "results.csv", "scores.png", "roc.png"}
    assert f"ood/mean/auroc: {found['ood/mean/auroc']}" in capsys.readouterr().out


def openood_folder(root: Path) -> dict[str, list[np.ndarray]]:
    """The benchmark's layout with a few images of each set; the images as they should come out, by list."""
    counts = dict(cifar10=9, cifar100=5, tin=4, mnist=3, svhn=4, texture=5, places365=3)
    lists = {f"test_{name}": count for name, count in counts.items()} | dict(train_cifar10=12)
    found: dict[str, list[np.ndarray]] = {}
    draw = np.random.default_rng(0)
    for listed, count in lists.items():
        lines = []
        for number in range(count):
            path = f"{listed}/{number}.png"
            pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            (root / "images_classic" / listed).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / "images_classic" / path)
            lines.append(f"{path} {number % 10 if 'cifar10' in listed.split('_')[1:] else -1}")
            found.setdefault(listed, []).append(pixels)
        file = root / "benchmark_imglist" / "cifar10" / f"{listed}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n")
    return found


def test_openoods_protocol_from_its_lists_to_the_means_of_its_groups(
    tmp_path: Path, untrained: Callable[..., str]
) -> None:
    images = openood_folder(tmp_path / "data" / "openood")
    small = {"model.backbone.base_channels": 8, "model.backbone.stem_channels": 8, "model.head.in_channels": 64}
    weights = untrained("ood_openood_cifar10.py", tmp_path / "weights.pth", **small)
    place = "test_evaluator.metrics.0"
    options = {**small, f"{place}.score": "knn", f"{place}.k": 3, f"{place}.resamples": 0, f"{place}.plots": False}
    options |= {"test_dataloader.num_workers": 0, "test_dataloader.persistent_workers": False}
    words = [f"{key}={value}" for key, value in options.items()]
    command = [str(recipe_path("ood_openood_cifar10.py")), weights, "--work-dir", "run", "--cfg-options", *words]
    found = test_tool.main([*command, f"{place}.only=['near','far']"])

    config = Config.fromfile(recipe_path("ood_openood_cifar10.py"))
    config.merge_from_dict(small)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(config.model).eval()
    model.load_state_dict(torch.load(weights, weights_only=True)["state_dict"])

    @torch.no_grad()
    def features(listed: str) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack(images[listed])).permute(0, 3, 1, 2).float()
        mean, std = (torch.tensor(config.model.data_preprocessor[key])[:, None, None] for key in ("mean", "std"))
        maps = model.backbone((pixels - mean) / std)[-1]
        vectors = maps.mean(dim=(2, 3)).double()
        return vectors / vectors.norm(dim=1, keepdim=True)

    bank = features("train_cifar10")

    def scores(listed: str) -> list[float]:
        return [sorted(float((one - other).norm()) for other in bank)[2] for one in features(listed)]

    inside = scores("test_cifar10")
    for group, names in dict(near=("cifar100", "tin"), far=("mnist", "svhn", "texture", "places365")).items():
        values = [detection_measures(inside, scores(f"test_{name}"), trapezoid=True) for name in names]
        for measure in MEASURES:
            expected = sum(each[measure] for each in values) / len(values)
            assert found[f"ood/{group}/{measure}"] == pytest.approx(expected, abs=1e-9)
    assert set(found) == {f"ood/{name}/{measure}" for name in ("near", "far", "mean") for measure in MEASURES}
    assert found["ood/mean/auroc"] == pytest.approx((found["ood/near/auroc"] + found["ood/far/auroc"]) / 2)
    (results,) = (tmp_path / "run").glob("*/ood/results.json")
    content = json.loads(results.read_text())
    assert content["protocol"]["inside_count"] == 9
    assert content["protocol"]["benchmark"] == "OpenOOD v1.5, CIFAR-10"

    (tmp_path / "data/openood/benchmark_imglist/cifar10/test_texture.txt").unlink()
    with pytest.raises(ValueError, match=r"far/texture: .*data/dtd"):
        test_tool.main([*command, f"{place}.only=['near','far']"])
