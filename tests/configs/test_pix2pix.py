"""The recipes of image translation, run: on digits as they are, on facades and Cityscapes with pairs made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

pytest.importorskip("mmagic", reason="the recipes are mmagic's")

from nda_mm.datasets import DigitEdges
from nda_mm.engine import launch
from nda_mm.evaluation.segmentation import cityscapes_palette
from tools import test as test_tool
from tools import train as train_tool

PALETTE = cityscapes_palette()
SMALL = {
    "model.generator.base_channels": 2, "model.discriminator.base_channels": 2, "train_cfg.max_iters": 2,
    "train_cfg.val_interval": 2, "default_hooks.logger.interval": 1, "train_dataloader.num_workers": 0,
    "train_dataloader.persistent_workers": False, "val_dataloader.num_workers": 0,
    "val_dataloader.persistent_workers": False, "test_dataloader.num_workers": 0,
    "test_dataloader.persistent_workers": False, "visualizer.vis_backends": [],
}  # fmt: skip


def words(options: dict[str, Any]) -> list[str]:
    return ["--cfg-options", *(f"{key}={value}".replace(" ", "") for key, value in options.items())]


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


SEGMENTATION = ("pixel_accuracy", "class_accuracy", "mean_iou")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("nda_pix2pix_facades", {"photo/mae"}),
        ("nda_pix2pix_cityscapes_labels2photo", {"photo/mae", *(f"segmented/{score}" for score in SEGMENTATION),
                                                 *(f"segmented/real_{score}" for score in SEGMENTATION)}),
        ("nda_pix2pix_cityscapes_photo2labels", {f"label/{score}" for score in SEGMENTATION}),
    ],
)  # fmt: skip
def test_it_trains_evaluates_and_is_tested(pairs: Path, name: str, scores: set[str]) -> None:
    train_tool.main([name, "--work-dir", "run", "--seed", "0", *words(SMALL)])
    assert (pairs / "run" / "iter_2.pth").is_file() and (pairs / "run" / "translations" / "iter_2.png").is_file()
    options = dict(SMALL)
    if "labels2photo" in name:
        # a "segmenter" that takes every pixel for road: it scores what the labels are known to hold
        torch.jit.script(AllRoad()).save("road.pt")
        options["test_evaluator.metrics.1.segmenter.checkpoint"] = "road.pt"
    metrics = test_tool.main([name, "run/iter_2.pth", "--seed", "0", "--work-dir", "test", *words(options)])
    assert set(metrics) == scores
    assert all(0 <= value <= 1 for value in metrics.values())
    if "labels2photo" in name:
        files = Path("data/pix2pix/cityscapes/val").iterdir()
        pixels = np.concatenate([np.asarray(Image.open(path))[:, 256:].reshape(-1, 3) for path in files]).tolist()
        evaluated = {color for color, number in PALETTE if number != 255}
        share = pixels.count([128, 64, 128]) / sum(tuple(pixel) in evaluated for pixel in pixels)
        assert metrics["segmented/pixel_accuracy"] == metrics["segmented/real_pixel_accuracy"] == pytest.approx(share)


class AllRoad(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(x.shape[0], 19, 8, 8)
        logits[:, 0] = 1.0
        return logits


class TestDigits:
    """The recipe that needs no data, without its classifier."""

    @pytest.fixture
    def train(self, read: Any, tmp_path: Path) -> Any:
        pytest.importorskip("sklearn")
        metrics = [dict(type="nda_mm.TranslationScores", target="digit")]

        def train(folder: str, iterations: int, interval: int, resume: bool = False, **options: Any) -> Runner:
            config = read("nda_pix2pix_digits", **{
                "work_dir": str(tmp_path / folder), "launcher": "none", "resume": resume, "randomness.seed": 0,
                "train_cfg.max_iters": iterations, "train_cfg.val_interval": interval,
                "default_hooks.checkpoint.interval": interval, "val_evaluator.metrics": metrics,
                "test_evaluator.metrics": metrics, "visualizer.vis_backends": [], **options,
            })  # fmt: skip
            runner = launch.build_runner(config)
            runner.train()
            return runner

        return train

    @pytest.mark.slow
    def test_they_are_learned_and_shown(self, train: Any) -> None:
        width = {f"model.{part}.base_channels": 8 for part in ("generator", "discriminator")}
        runner = train("run", 60, 30, **width, **{"val_dataloader.dataset.indices": 64})
        folder = Path(runner.work_dir)
        outlines = DigitEdges(split="test", indices=64)
        edges, digits = (np.stack([outlines[i][f"img_{key}"] for i in range(64)]) for key in ("edge", "digit"))
        error = np.abs(edges.astype(float) - digits).mean() / 255
        assert runner.message_hub.get_scalar("val/digit/mae").data[0][-1] < 0.1 < 0.2 < error
        assert sorted(path.name for path in (folder / "translations").iterdir()) == ["iter_30.png", "iter_60.png"]
        grid = np.asarray(Image.open(folder / "translations" / "iter_60.png"))
        edge, _, digit = (grid[-66:-2, column : column + 64, 0].astype(float) for column in (2, 68, 134))
        assert set(np.unique(edge)) <= {0.0, 255.0} and len(np.unique(digit)) > 20
        assert (folder / "negatives.png").is_file()

    @pytest.mark.slow
    def test_they_resume_exactly(self, train: Any, tmp_path: Path) -> None:
        """Dropout in training and in evaluation, batch statistics that evaluation moves: all go on where they were."""
        small = {"val_dataloader.dataset.indices": 16, "train_dataloader.batch_size": 8}
        train("straight", 4, 2, **small)
        train("stopped", 2, 2, **small)
        train("stopped", 4, 2, resume=True, **small)
        straight, resumed = (
            torch.load(tmp_path / folder / "iter_4.pth", weights_only=True)["state_dict"]
            for folder in ("straight", "stopped")
        )
        assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
