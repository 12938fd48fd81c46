"""Sheets of a translator's evaluation, from data samples as mmagic gives them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image

from nda_mm.engine.translation_sheet_hook import TranslationSheetHook


def sample(value: int) -> BaseDataElement:
    """Images of one colour each: input red, output green, target blue, in BGR."""
    images = {"img_a": (0, 0, value), "fake_b": (0, value, 0), "img_b": (value, 0, 0)}
    return BaseDataElement(**{k: torch.tensor(v).float().reshape(3, 1, 1).expand(3, 4, 6) for k, v in images.items()})


@pytest.fixture
def runner(tmp_path: Path) -> SimpleNamespace:
    shown: list[str] = []
    visualizer = SimpleNamespace(add_image=lambda name, image, step: shown.append(f"{name} {step} {image.shape[2]}"))
    return SimpleNamespace(work_dir=str(tmp_path), iter=7, visualizer=visualizer, shown=shown)


def test_the_first_images_of_an_evaluation_are_shown_in_rgb(runner: SimpleNamespace, tmp_path: Path) -> None:
    hook = TranslationSheetHook("a", "b", num_images=3)
    for _ in range(2):  # an evaluation forgets the one before
        hook.before_val_epoch(runner)
        for batch in ([sample(10), sample(20)], [sample(30), sample(40)], [sample(50)]):
            hook.after_val_iter(runner, 0, None, batch)
        hook.after_val_epoch(runner)
    sheet = np.asarray(Image.open(tmp_path / "translations" / "iter_7.png")).astype(int)
    colours = [tuple(colour) for colour in np.unique(sheet[-18:].reshape(-1, 3), axis=0).tolist()]
    expected = [colour for value in (10, 20, 30) for colour in ((value, 0, 0), (0, value, 0), (0, 0, value))]
    assert set(expected) <= set(colours) and not {(40, 0, 0), (50, 0, 0)} & set(colours)
    red, green, blue = ((sheet == colour).all(-1).nonzero()[1].min() for colour in expected[:3])
    assert red < green < blue
    assert runner.shown == ["translations 7 3"] * 2


def test_a_test_has_a_sheet_of_its_own_and_nothing_gives_none(runner: SimpleNamespace, tmp_path: Path) -> None:
    hook = TranslationSheetHook("a", "b")
    hook.before_test_epoch(runner)
    hook.after_test_epoch(runner)
    assert not (tmp_path / "translations").exists()
    hook.after_test_iter(runner, 0, None, [sample(1)])
    hook.after_test_epoch(runner)
    assert [path.name for path in (tmp_path / "translations").iterdir()] == ["test.png"]


def test_refusals() -> None:
    with pytest.raises(ValueError, match="num_images and scale must be at least 1, but are 0 and 1"):
        TranslationSheetHook("a", "b", num_images=0)
