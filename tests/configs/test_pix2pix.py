"""The recipes of image translation, run: on digits as they are, on facades and Cityscapes with pairs made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

pytest.importorskip("mmagic", reason="the recipes are mmagic's")

from nda_mm.evaluation.segmentation import cityscapes_palette
from tools import test as test_tool
from tools import train as train_tool

PALETTE = cityscapes_palette()
LOADERS = [f"{split}_dataloader" for split in ("train", "val", "test")]
SMALL = {
    "model.generator.base_channels": 2, "model.discriminator.base_channels": 2, "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2, "default_hooks.logger.interval": 1, "visualizer.vis_backends": [],
    **{f"{loader}.num_workers": 0 for loader in LOADERS},
    **{f"{loader}.persistent_workers": False for loader in LOADERS},
}  # fmt: skip


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three pairs in each of three folders: left noise, right painted in Cityscapes' colors, upper half road."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    colors = np.array([color for color, _ in PALETTE], dtype=np.uint8)
    for name in ("facades", "cityscapes"):
        for split in ("train", "val", "test"):
            folder = tmp_path / "data" / "pix2pix" / name / split
            folder.mkdir(parents=True)
            for number in range(3):
                photo = draw.integers(0, 256, (256, 256, 3), dtype=np.uint8)
                blocks = draw.integers(0, len(colors), (16, 16))
                blocks[:8] = 0
                labels = colors[blocks].repeat(16, 0).repeat(16, 1)
                Image.fromarray(np.concatenate([photo, labels], axis=1)).save(folder / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize("name", ["facades", "cityscapes_labels2photo", "cityscapes_photo2labels"])
def test_the_budget_is_200_epochs_and_the_photograph_is_left(pairs: Path, name: str, read: Any) -> None:
    config = read(f"nda_pix2pix_{name}")
    assert config.train_cfg.max_iters == 200 * (400 if name == "facades" else 2_975)
    assert config.train_dataloader.batch_size == 1
    drawing, split = ("mask", "test") if name == "facades" else ("label", "val")
    with DefaultScope.overwrite_default_scope("mmagic"):
        item = DATASETS.build(config.test_dataloader.dataset)[0]["inputs"]
    whole = np.asarray(Image.open(Path(config.test_dataloader.dataset.data_root) / split / "0.png"))
    for key, half in (("img_photo", whole[:, :256]), (f"img_{drawing}", whole[:, 256:])):
        assert np.array_equal(item[key].flip(0).permute(1, 2, 0).numpy(), half)  # cv2 reads BGR


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scores"), [
    ("nda_pix2pix_facades", {"photo/mae"}),
    ("nda_pix2pix_cityscapes_photo2labels", {"label/pixel_accuracy", "label/class_accuracy", "label/mean_iou"}),
])  # fmt: skip
def test_it_trains_evaluates_and_is_tested(pairs: Path, name: str, scores: set[str]) -> None:
    words = ["--seed", "0", "--cfg-options", *(f"{key}={value}".replace(" ", "") for key, value in SMALL.items())]
    train_tool.main([name, "--work-dir", "run", *words])
    assert (pairs / "run" / "iter_2.pth").is_file() and (pairs / "run" / "translations" / "iter_2.png").is_file()
    metrics = test_tool.main([name, "run/iter_2.pth", "--work-dir", "test", *words])
    assert set(metrics) == scores
    assert all(0 <= value <= 1 for value in metrics.values())


@pytest.mark.slow
def test_digits_resume_exactly(read: Any, small_runner: Any, tmp_path: Path) -> None:
    """Dropout in training and in evaluation, batch statistics that evaluation moves: all go on where they were."""
    pytest.importorskip("sklearn")
    metrics = [dict(type="nda_mm.TranslationScores", target="digit")]  # no classifier

    def train(folder: str, iterations: int, resume: bool = False) -> Any:
        options = {
            "resume": resume, "randomness.seed": 0, "train_cfg.max_iters": iterations, "train_cfg.val_interval": 2,
            "default_hooks.checkpoint.interval": 2, "val_evaluator.metrics": metrics, "test_evaluator.metrics": metrics,
            "val_dataloader.dataset.indices": 16, "train_dataloader.batch_size": 8, "visualizer.vis_backends": [],
        }  # fmt: skip
        small_runner(read("nda_pix2pix_digits"), tmp_path / folder, **options).train()
        return torch.load(tmp_path / folder / f"iter_{iterations}.pth", weights_only=True)["state_dict"]

    straight, _, resumed = train("straight", 4), train("stopped", 2), train("stopped", 4, resume=True)
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
