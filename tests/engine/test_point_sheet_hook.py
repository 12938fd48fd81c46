"""Plots of points in a real run of the toy recipe, which they leave as it would have been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine import Config
from PIL import Image

pytest.importorskip("mmagic")

from nda_mm.engine import launch
from nda_mm.engine.point_sheet_hook import PointSheetHook
from nda_mm.utils.files import recipe_path

RECIPE = recipe_path("nda_toy_gaussians.py")


def run(work_dir: Path, hooks: list[dict]) -> Any:
    config = Config.fromfile(RECIPE)
    config.work_dir = str(work_dir)
    config.merge_from_dict(
        {
            "train_cfg": dict(max_iters=5, val_interval=5),
            "train_dataloader.batch_size": 8,
            "train_dataloader.dataset.num_points": 64,
            "val_dataloader.dataset.num_points": 64,
            "val_evaluator.metrics.0.fake_nums": 50,
            "launcher": "none",
            "randomness.seed": 0,
            "custom_hooks": hooks,
        }
    )
    runner = launch.build_runner(config)
    runner.train()
    return runner


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(tmp_path_factory.mktemp("run"), [dict(type="nda_mm.PointSheetHook", interval=3, num_points=40)])


def test_plots_are_written_where_they_are_promised(finished: Any) -> None:
    folder = Path(finished.work_dir) / "samples"
    assert sorted(path.name for path in folder.iterdir()) == ["iter_3.png", "iter_5.png"]
    pixels = np.asarray(Image.open(folder / "iter_5.png").convert("RGB")).astype(int)
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])
    assert all((np.abs(pixels - colour).sum(axis=2) < 30).any() for colour in (blue, orange))


def test_the_points_are_those_of_the_data_the_negative_and_the_moving_average(finished: Any) -> None:
    model, dataset = finished.model, finished.train_dataloader.dataset
    points = PointSheetHook(interval=1, num_points=40, seed=2).points(model, dataset)
    assert list(points) == ["real", "negative", "generated"]
    real = np.stack([dataset.get_data_info(index)["gt"].reshape(2) for index in range(40)])
    assert np.array_equal(points["real"].numpy(), real)
    radius = points["real"].norm(dim=1)
    torch.testing.assert_close(points["negative"].norm(dim=1), radius)
    noise = torch.randn(40, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(points["generated"], model.generator_ema.module(noise).reshape(40, 2))


def test_training_is_what_it_would_have_been(finished: Any, tmp_path: Path) -> None:
    without = run(tmp_path, [])
    for name, value in without.model.state_dict().items():
        assert torch.equal(value, finished.model.state_dict()[name]), name


def test_bad_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="limit above 0, but they are 1000 and 0"):
        PointSheetHook(interval=1, limit=0)
    with pytest.raises(ValueError, match="interval must be at least 1, but is 0"):
        PointSheetHook(interval=0)
    with pytest.raises(ValueError, match=r"sample_model must be one of \('ema', 'orig'\), but came as 'best'"):
        PointSheetHook(interval=1, sample_model="best")
