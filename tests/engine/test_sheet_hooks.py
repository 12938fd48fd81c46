"""The pictures of a run: negatives at its start, samples as it goes on. In a real run of the shipped recipe."""

import json
import resource
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from PIL import Image

pytest.importorskip("mmagic")

from nda_mm.engine import launch
from nda_mm.engine.negative_grid_hook import NegativeGridHook
from nda_mm.engine.sample_sheet_hook import SampleSheetHook
from nda_mm.utils.files import recipe_path

RECIPE = recipe_path("nda_biggan_digits.py")
WITHOUT = [dict(type="nda_mm.FiniteLossHook")]


def run(work_dir, iterations=4, **options):
    config = Config.fromfile(RECIPE)
    config.work_dir = str(work_dir)
    config.merge_from_dict(
        {
            "train_cfg": dict(type="nda_mm.ExactIterLoop", max_iters=iterations, val_interval=1000),
            "val_cfg": None,
            "val_dataloader": None,
            "val_evaluator": None,
            "train_dataloader.batch_size": 8,
            "default_hooks.logger.interval": 1,
            "launcher": "none",
            **options,
        }
    )
    torch.manual_seed(0)
    runner = launch.build_runner(config)
    runner.train()
    return runner


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("run")
    hooks = [
        *WITHOUT,
        dict(type="nda_mm.NegativeGridHook", num_images=4, scale=1),
        dict(type="nda_mm.SampleSheetHook", interval=3, scale=1),
    ]
    return run(work_dir, custom_hooks=hooks)


@HOOKS.register_module(force=True)
class NoRoomHook(Hook):
    """No file may grow from the start of one iteration to the end of another."""

    priority = "VERY_LOW"

    def __init__(self, first, last):
        self.first, self.last = first, last
        self.limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def flush(self, runner):
        """What waited to be written, was or failed."""
        runner.visualizer.get_backend("TensorboardVisBackend")._tensorboard.flush()

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == self.first:
            self.flush(runner)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, self.limits[1]))

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter == self.last:
            with suppress(OSError):
                self.flush(runner)
            resource.setrlimit(resource.RLIMIT_FSIZE, self.limits)


def weights(runner):
    return {key: value.clone() for key, value in runner.model.state_dict().items()}


def test_sheets_are_written_where_they_are_promised(finished):
    folder = Path(finished.work_dir)
    assert sorted(path.name for path in (folder / "samples").iterdir()) == ["iter_3.png", "iter_4.png"]
    assert (folder / "negatives.png").is_file()


def test_the_negatives_shown_are_the_tiles_of_the_images_above_them(finished):
    sheet = np.asarray(Image.open(Path(finished.work_dir) / "negatives.png")).astype(int)
    # four columns of 16 pixels from the right edge; the row names' width is the font's affair
    lefts = [sheet.shape[1] - 18 * (4 - column) for column in range(4)]
    for left in lefts:
        real, negative = (sheet[top : top + 16, left : left + 16] for top in (2, 20))
        assert real.std() > 20
        assert not np.array_equal(real, negative)
        tiles = {image: [] for image in ("real", "negative")}
        for name, image in (("real", real), ("negative", negative)):
            for row in (0, 8):
                for column in (0, 8):
                    tiles[name].append(image[row : row + 8, column : column + 8].tobytes())
        assert sorted(tiles["real"]) == sorted(tiles["negative"])


def test_every_term_of_the_loss_is_logged(finished):
    (log,) = Path(finished.work_dir).glob("*/vis_data/scalars.json")
    first = json.loads(log.read_text().splitlines()[0])
    for term in ("loss_disc_real", "loss_disc_fake", "loss_disc_negative", "loss_gen", "loss"):
        assert np.isfinite(first[term])
    for kind in ("real", "fake", "negative"):
        assert np.isfinite(first[f"logit_{kind}"])
    assert first["loss"] == pytest.approx(
        first["loss_disc_real"] + first["loss_disc_fake"] + first["loss_disc_negative"], abs=1e-5
    )


def test_a_run_without_pictures_ends_in_the_same_weights(finished, tmp_path):
    without = weights(run(tmp_path, custom_hooks=WITHOUT))
    with_pictures = weights(finished)
    assert [key for key in without if not torch.equal(without[key], with_pictures[key])] == []


def test_the_same_noise_is_shown_again_by_another_process(finished, tmp_path):
    first = (Path(finished.work_dir) / "samples" / "iter_4.png").read_bytes()
    again = run(tmp_path, custom_hooks=[*WITHOUT, dict(type="nda_mm.SampleSheetHook", interval=100, scale=1)])
    assert (Path(again.work_dir) / "samples" / "iter_4.png").read_bytes() == first


def test_a_batch_that_fills_no_whole_row_is_cut_to_whole_rows(tmp_path):
    hooks = [*WITHOUT, dict(type="nda_mm.NegativeGridHook", num_images=16, scale=1)]
    options = {"train_dataloader.batch_size": 11, "custom_hooks": hooks}
    run(tmp_path, iterations=1, **options)
    height = Image.open(tmp_path / "negatives.png").size[1]
    assert height == 2 + 2 * (16 + 2)  # eight real images and, below them, their negatives


@pytest.mark.slow
def test_a_full_disk_costs_pictures_and_log_lines_alone(finished, tmp_path):
    """No file grows from the second iteration to the fourth."""
    hooks = [
        *WITHOUT,
        dict(type="NoRoomHook", first=1, last=3),
        dict(type="nda_mm.NegativeGridHook", num_images=4, scale=1),
        dict(type="nda_mm.SampleSheetHook", interval=1, scale=1),
    ]
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    full = run(tmp_path, iterations=6, custom_hooks=hooks)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["iter_1.png", "iter_5.png", "iter_6.png"]
    (folder,) = tmp_path.glob("*/vis_data")
    lines = [json.loads(line)["step"] for line in (folder / "scalars.json").read_text().splitlines()]
    assert lines == [1, 5, 6]
    events = event_accumulator.EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("loss")] == [1, 5, 6]
    without = run(tmp_path / "plain", iterations=6, custom_hooks=WITHOUT)
    assert [key for key, value in weights(without).items() if not torch.equal(value, weights(full)[key])] == []


def test_refusals():
    with pytest.raises(ValueError, match=r"num_images must be at least 2.*is 1"):
        NegativeGridHook(num_images=1)
    with pytest.raises(ValueError, match="interval must be at least 1, but is 0"):
        SampleSheetHook(interval=0)
    with pytest.raises(ValueError, match="samples_per_class and max_classes must be at least 1, but are 8 and 0"):
        SampleSheetHook(interval=1, max_classes=0)
    with pytest.raises(ValueError, match=r"sample_model must be one of \('ema', 'orig'\).*'best'"):
        SampleSheetHook(interval=1, sample_model="best")
