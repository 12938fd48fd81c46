"""The pictures of a run: negatives at its start, samples as it goes on. In real runs of shipped recipes."""

import json
import resource
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image
from tiny_run import Calls, assert_equal, build_recipe

pytest.importorskip("mmagic")

from nda_mm.engine import NegativeGridHook, PointGridHook, SampleGridHook, TranslationGridHook

WITHOUT = [dict(type="nda_mm.FiniteLossHook")]


def run(work_dir, *hooks, iterations=3, **options):
    settings = {"train_cfg.max_iters": iterations, "train_dataloader.batch_size": 8, "default_hooks.logger.interval": 1}
    torch.manual_seed(0)
    runner = build_recipe("nda_biggan_digits.py", work_dir, **settings, **options)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    hooks = [
        *WITHOUT,
        dict(type="nda_mm.NegativeGridHook", num_images=4, scale=1),
        dict(type="nda_mm.SampleSheetHook", interval=2, scale=1),  # the old name
    ]
    return run(tmp_path_factory.mktemp("run"), custom_hooks=hooks)


def test_grids_are_written_at_the_interval_and_the_end(finished):
    folder = Path(finished.work_dir)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["iter_2.png", "iter_3.png"]
    assert (folder / "negatives.png").is_file()


def test_the_negatives_shown_are_the_tiles_of_the_images_above_them(finished):
    grid = np.asarray(Image.open(Path(finished.work_dir) / "negatives.png")).astype(int)
    # four columns of 16 pixels from the right edge; the width of the row names depends on the font
    lefts = [grid.shape[1] - 18 * (4 - column) for column in range(4)]
    for left in lefts:
        real, negative = (grid[top : top + 16, left : left + 16] for top in (2, 20))
        assert real.std() > 20
        assert not np.array_equal(real, negative)
        real_tiles, negative_tiles = (
            sorted(image[r : r + 8, c : c + 8].tobytes() for r in (0, 8) for c in (0, 8)) for image in (real, negative)
        )
        assert real_tiles == negative_tiles


def test_a_run_without_pictures_ends_in_the_same_weights(finished, tmp_path):
    assert_equal(run(tmp_path, custom_hooks=WITHOUT).model.state_dict(), finished.model.state_dict())


def test_a_batch_that_fills_no_whole_row_is_cut_to_whole_rows(finished, tmp_path):
    loader = finished.train_dataloader
    batch = loader.collate_fn([loader.dataset[index] for index in range(11)])
    visualizer = SimpleNamespace(add_image=lambda *args, **kwargs: None)
    place = SimpleNamespace(work_dir=str(tmp_path), iter=0, model=finished.model, visualizer=visualizer)
    NegativeGridHook(num_images=16, scale=1).before_train_iter(place, 0, batch)
    height = Image.open(tmp_path / "negatives.png").size[1]
    assert height == 2 + 2 * (16 + 2)  # eight real images and, below them, their negatives


@pytest.mark.slow
def test_a_full_disk_costs_pictures_and_log_lines_alone(tmp_path):
    """No file grows from the second iteration to the fourth."""
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(runner, at, size):
        if runner.iter == at:
            with suppress(OSError):
                runner.visualizer.get_backend("TensorboardVisBackend")._tensorboard.flush()
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))

    full_disk = Calls(
        before_train_iter=lambda runner: limit(runner, 1, 0), after_train_iter=lambda runner: limit(runner, 3, soft)
    )
    grids = [
        dict(type="nda_mm.NegativeGridHook", num_images=4, scale=1),
        dict(type="nda_mm.SampleGridHook", interval=1, scale=1),
    ]
    full = run(tmp_path, full_disk, iterations=6, custom_hooks=[*WITHOUT, *grids])
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["iter_1.png", "iter_5.png", "iter_6.png"]
    (folder,) = tmp_path.glob("*/vis_data")
    lines = [json.loads(line)["step"] for line in (folder / "scalars.json").read_text().splitlines()]
    assert lines == [1, 5, 6]
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 5, 6]
    without = run(tmp_path / "plain", iterations=6, custom_hooks=WITHOUT)
    assert_equal(without.model.state_dict(), full.model.state_dict())


def test_points_of_data_negative_and_ema_are_plotted(tmp_path):
    hook = dict(type="nda_mm.PointGridHook", interval=2, num_points=40)
    settings = {"train_cfg.max_iters": 3, "train_dataloader.batch_size": 8, "train_dataloader.dataset.num_points": 64}
    runner = build_recipe("nda_toy_gaussians.py", tmp_path, **settings, custom_hooks=[hook])
    runner.train()
    folder = tmp_path / "samples"
    assert sorted(path.name for path in folder.iterdir()) == ["iter_2.png", "iter_3.png"]
    pixels = np.asarray(Image.open(folder / "iter_3.png").convert("RGB")).astype(int)
    blue, orange = np.array([31, 119, 180]), np.array([255, 127, 14])
    assert all((np.abs(pixels - color).sum(axis=2) < 30).any() for color in (blue, orange))

    model, dataset = runner.model, runner.train_dataloader.dataset
    points = PointGridHook(interval=1, num_points=40, seed=2).points(model, "ema", dataset)
    assert list(points) == ["real", "negative", "generated"]
    real = np.stack([dataset.get_data_info(index)["gt"].reshape(2) for index in range(40)])
    assert np.array_equal(points["real"].numpy(), real)
    torch.testing.assert_close(points["negative"].norm(dim=1), points["real"].norm(dim=1))
    noise = torch.randn(40, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(points["generated"], model.generator_ema.module(noise).reshape(40, 2))


def translated(value):
    """Images of one color each: input red, output green, target blue, in BGR."""
    images = {"img_a": (0, 0, value), "fake_b": (0, value, 0), "img_b": (value, 0, 0)}
    return BaseDataElement(**{k: torch.tensor(v).float().reshape(3, 1, 1).expand(3, 4, 6) for k, v in images.items()})


@pytest.fixture
def evaluation(tmp_path):
    shown = []
    visualizer = SimpleNamespace(add_image=lambda name, image, step: shown.append(f"{name} {step} {image.shape[2]}"))
    return SimpleNamespace(work_dir=str(tmp_path), iter=7, visualizer=visualizer, shown=shown)


def test_the_first_translations_of_an_evaluation_are_shown_in_rgb(evaluation, tmp_path):
    hook = TranslationGridHook("a", "b", num_images=3)
    for _ in range(2):  # an evaluation forgets the one before
        hook.before_val_epoch(evaluation)
        for batch in ([translated(10), translated(20)], [translated(30), translated(40)], [translated(50)]):
            hook.after_val_iter(evaluation, 0, None, batch)
        hook.after_val_epoch(evaluation)
    grid = np.asarray(Image.open(tmp_path / "translations" / "iter_7.png")).astype(int)
    found = [tuple(color) for color in np.unique(grid[-18:].reshape(-1, 3), axis=0).tolist()]
    expected = [color for value in (10, 20, 30) for color in ((value, 0, 0), (0, value, 0), (0, 0, value))]
    assert set(expected) <= set(found) and not {(40, 0, 0), (50, 0, 0)} & set(found)
    red, green, blue = ((grid == color).all(-1).nonzero()[1].min() for color in expected[:3])
    assert red < green < blue
    assert evaluation.shown == ["translations 7 3"] * 2


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="sample_model"):
        SampleGridHook(interval=1, sample_model="best")
