"""The recipes of image translation, run: on digits as they are, on facades and Cityscapes with pairs made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner
from PIL import Image

pytest.importorskip("mmagic", reason="the recipes are mmagic's")

from nda_mm.engine import launch
from nda_mm.evaluation.segmentation import PALETTE
from nda_mm.utils.files import recipe_path
from tools import test as test_tool
from tools import train as train_tool

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
    """Three pairs in each of three folders: left noise, right painted in Cityscapes' colours, upper half road."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    colours = np.array([colour for colour, _ in PALETTE], dtype=np.uint8)
    for name in ("facades", "cityscapes"):
        for split in ("train", "val", "test"):
            folder = tmp_path / "data" / "pix2pix" / name / split
            folder.mkdir(parents=True)
            for number in range(3):
                photo = draw.integers(0, 256, (256, 256, 3), dtype=np.uint8)
                blocks = draw.integers(0, len(colours), (16, 16))
                blocks[:8] = 0
                labels = colours[blocks].repeat(16, 0).repeat(16, 1)
                Image.fromarray(np.concatenate([photo, labels], axis=1)).save(folder / f"{number}.png")
    return tmp_path


class TestSettings:
    @pytest.mark.parametrize(
        ("name", "images", "iterations"),
        [
            ("facades", 400, 80_000),
            ("cityscapes_labels2photo", 2_975, 595_000),
            ("cityscapes_photo2labels", 2_975, 595_000),
        ],
    )
    def test_the_budget_is_200_epochs_of_single_pairs(self, name: str, images: int, iterations: int) -> None:
        config = Config.fromfile(recipe_path(f"nda_pix2pix_{name}.py"))
        assert config.train_cfg.max_iters == iterations == 200 * images
        assert config.train_dataloader.batch_size == 1
        for networks in ("generators", "discriminators"):
            assert config.optim_wrapper[networks].optimizer == dict(type="Adam", lr=2e-4, betas=(0.5, 0.999))
        assert config.model.loss_config == dict(pixel_loss_weight=100.0)
        assert config.model.negative == dict(type="Jigsaw", grid=2)

    @pytest.mark.parametrize("name", ["facades", "cityscapes_labels2photo", "cityscapes_photo2labels"])
    def test_photograph_left_and_drawing_right(self, pairs: Path, name: str) -> None:
        config = Config.fromfile(recipe_path(f"pix2pix_{name}.py"))
        drawing = "mask" if name == "facades" else "label"
        with DefaultScope.overwrite_default_scope("mmagic"):
            item = DATASETS.build(config.test_dataloader.dataset)[0]["inputs"]
        split = "test" if name == "facades" else "val"
        whole = np.asarray(Image.open(Path(config.test_dataloader.dataset.data_root) / split / "0.png"))
        for key, half in (("img_photo", whole[:, :256]), (f"img_{drawing}", whole[:, 256:])):
            assert np.array_equal(item[key].flip(0).permute(1, 2, 0).numpy(), half)  # cv2 reads BGR

    def test_flips_and_crops_move_both_alike(self, pairs: Path) -> None:
        """Where both halves are one picture, they still are after the training pipeline."""
        config = Config.fromfile(recipe_path("pix2pix_cityscapes_labels2photo.py"))
        folder = pairs / "data" / "pix2pix" / "cityscapes" / "train"
        half = np.random.default_rng(1).integers(0, 256, (256, 256, 3), dtype=np.uint8)
        for path in folder.iterdir():
            Image.fromarray(np.concatenate([half, half], axis=1)).save(path)
        with DefaultScope.overwrite_default_scope("mmagic"):
            dataset = DATASETS.build(config.train_dataloader.dataset)
        seen = set()
        for _ in range(12):
            inputs = dataset[0]["inputs"]
            assert torch.equal(inputs["img_photo"], inputs["img_label"])
            assert inputs["img_photo"].shape == (3, 256, 256)
            seen.add(inputs["img_photo"].float().std(dim=(1, 2)).sum().item())
        assert len(seen) > 3  # crops differ


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("nda_pix2pix_facades", {"photo/mae"}),
        ("nda_pix2pix_cityscapes_labels2photo", {"photo/mae"}),
        ("nda_pix2pix_cityscapes_photo2labels",
         {f"label/{score}" for score in ("pixel_accuracy", "class_accuracy", "mean_iou")}),
    ],
)  # fmt: skip
def test_it_trains_evaluates_and_is_tested(pairs: Path, name: str, scores: set[str]) -> None:
    recipe = str(recipe_path(f"{name}.py"))
    train_tool.main([recipe, "--work-dir", "run", "--seed", "0", *words(SMALL)])
    assert (pairs / "run" / "iter_2.pth").is_file() and (pairs / "run" / "translations" / "iter_2.png").is_file()
    options = dict(SMALL)
    if "labels2photo" in name:
        # a "segmenter" that takes every pixel for road: it scores what the labels are known to hold
        torch.jit.script(AllRoad()).save("road.pt")
        options["test_evaluator.metrics.1.segmenter.checkpoint"] = "road.pt"
        scores = scores | {f"segmented/{real}{score}" for real in ("", "real_")
                           for score in ("pixel_accuracy", "class_accuracy", "mean_iou")}  # fmt: skip
    metrics = test_tool.main([recipe, "run/iter_2.pth", "--seed", "0", "--work-dir", "test", *words(options)])
    assert set(metrics) == scores
    assert all(0 <= value <= 1 for value in metrics.values())
    if "labels2photo" in name:
        labels = [np.asarray(Image.open(path))[:, 256:].reshape(-1, 3)
                  for path in Path("data/pix2pix/cityscapes/val").iterdir()]  # fmt: skip
        evaluated = {colour for colour, number in PALETTE if number != 255}
        counted = [tuple(pixel) in evaluated for pixel in np.concatenate(labels).tolist()]
        road = [pixel == [128, 64, 128] for pixel in np.concatenate(labels).tolist()]
        assert metrics["segmented/pixel_accuracy"] == pytest.approx(sum(road) / sum(counted))
        assert metrics["segmented/real_pixel_accuracy"] == metrics["segmented/pixel_accuracy"]


class AllRoad(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(x.shape[0], 19, 8, 8)
        logits[:, 0] = 1.0
        return logits


def test_without_a_segmenter_the_test_says_what_is_missing(pairs: Path) -> None:
    config = Config.fromfile(recipe_path("pix2pix_cityscapes_labels2photo.py"))
    config.work_dir, config.launcher = str(pairs / "run"), "none"
    config.merge_from_dict(SMALL)
    runner = launch.build_runner(config)
    with pytest.raises(FileNotFoundError, match=r"no segmenter data/cityscapes_segmenter\.pt"):
        runner.test()


@pytest.fixture(scope="module")
def trained_on_digits(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """60 iterations of the digits' recipe, without its classifier."""
    pytest.importorskip("sklearn")
    config = Config.fromfile(recipe_path("nda_pix2pix_digits.py"))
    config.work_dir, config.launcher = str(tmp_path_factory.mktemp("digits")), "none"
    metrics = [dict(type="nda_mm.TranslationScores", target="digit")]
    config.merge_from_dict({
        "train_cfg.max_iters": 60, "train_cfg.val_interval": 30, "val_evaluator.metrics": metrics,
        "test_evaluator.metrics": metrics, "visualizer.vis_backends": [], "val_dataloader.dataset.indices": 64,
        "randomness.seed": 0, "model.generator.base_channels": 8, "model.discriminator.base_channels": 8,
    })  # fmt: skip
    runner = launch.build_runner(config)
    runner.train()
    return runner


@pytest.mark.slow
def test_digits_are_learnt_and_shown(trained_on_digits: Runner) -> None:
    folder = Path(trained_on_digits.work_dir)
    assert sorted(path.name for path in (folder / "translations").iterdir()) == ["iter_30.png", "iter_60.png"]
    scores = trained_on_digits.message_hub.get_scalar("val/digit/mae")
    assert scores.data[0][-1] < 0.1 < 0.2 < _error_of_the_outlines()
    sheet = np.asarray(Image.open(folder / "translations" / "iter_60.png"))
    edge, _, digit = (sheet[-66:-2, column : column + 64, 0].astype(float) for column in (2, 68, 134))
    assert set(np.unique(edge)) <= {0.0, 255.0} and len(np.unique(digit)) > 20
    assert (folder / "negatives.png").is_file()


def _error_of_the_outlines() -> float:
    from nda_mm.datasets import DigitEdges

    pairs = DigitEdges(split="test", indices=64)
    errors = [np.abs(p["img_edge"].astype(float) - p["img_digit"]).mean() / 255 for p in (pairs[i] for i in range(64))]
    return float(np.mean(errors))


@pytest.mark.slow
def test_digits_resume_exactly(tmp_path: Path) -> None:
    """Dropout in training and in evaluation, batch statistics that evaluation moves: all go on where they were."""

    def run(folder: str, iterations: int, resume: bool = False) -> dict[str, Any]:
        config = Config.fromfile(recipe_path("nda_pix2pix_digits.py"))
        config.work_dir, config.launcher, config.resume = str(tmp_path / folder), "none", resume
        metrics = [dict(type="nda_mm.TranslationScores", target="digit")]
        config.merge_from_dict({
            "train_cfg.max_iters": iterations, "train_cfg.val_interval": 2, "val_evaluator.metrics": metrics,
            "default_hooks.checkpoint.interval": 2, "visualizer.vis_backends": [], "randomness.seed": 1,
            "val_dataloader.dataset.indices": 16, "train_dataloader.batch_size": 8,
        })  # fmt: skip
        launch.build_runner(config).train()
        return torch.load(tmp_path / folder / f"iter_{iterations}.pth", weights_only=True)["state_dict"]

    straight = run("straight", 4)
    run("stopped", 2)
    resumed = run("stopped", 4, resume=True)
    assert [name for name in straight if not torch.equal(straight[name], resumed[name])] == []
