"""Transformed images shown as real: what the discriminator sees and what metrics see, in runs of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_run import Calls, build_recipe

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

from nda_mm.engine.hooks.positive_transform_hook import PositiveTransformHook
from nda_mm.models import NDABigGAN
from nda_mm.negatives import Negative


class Darkened(Negative):
    """Every image black: nothing else is as easy to recognize."""

    def __init__(self) -> None:
        super().__init__()
        self.iterations: list[int] = []

    def make(self, x: torch.Tensor, other: torch.Tensor | None, generator: torch.Generator | None) -> torch.Tensor:
        return torch.full_like(x, -1.0)

    def set_iteration(self, iteration: int) -> None:
        self.iterations.append(iteration)


def build(work_dir: Path, **options: Any) -> Any:
    settings = {"train_cfg.max_iters": 2, "train_dataloader.batch_size": 6, "custom_hooks": []}
    return build_recipe("biggan_digits.py", work_dir, **{**settings, **options})


def test_every_real_image_is_transformed_in_training_and_none_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Tensor] = []
    plain = NDABigGAN.real_batch

    def watched(self: Any, inputs: Any, data_samples: Any) -> Any:
        seen.append(data_samples.gt_img.clone())
        return plain(self, inputs, data_samples)

    looks: list[torch.Tensor] = []

    def look(runner: Any) -> None:
        """Look at a real image while training goes on, as metrics do."""
        runner.model.eval()
        batch = runner.train_dataloader.collate_fn([runner.train_dataloader.dataset[0]])
        looks.append(runner.model.data_preprocessor(batch, True)["data_samples"].gt_img)
        runner.model.train()

    monkeypatch.setattr(NDABigGAN, "real_batch", watched)
    runner, transform = build(tmp_path), Darkened()
    runner.register_hook(PositiveTransformHook(transform))
    runner.register_hook(Calls(after_train_iter=look))
    runner.train()
    assert len(seen) == 2 and all((batch == -1.0).all() and len(batch) == 6 for batch in seen)
    assert len(looks) == 2 and all((image > -1.0).any() for image in looks)
    assert transform.iterations == [0, 1]
    assert not runner.model.data_preprocessor._forward_hooks  # nothing is left behind


def test_a_model_with_negatives_is_refused(tmp_path: Path) -> None:
    hook = dict(type="nda_mm.PositiveTransformHook", transform=dict(type="Jigsaw"))
    runner = build(tmp_path, **{"custom_hooks": [hook], "model.negative": dict(type="Jigsaw")})
    with pytest.raises(ValueError, match="model.negative=None"):
        runner.train()
