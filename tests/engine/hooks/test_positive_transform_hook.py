"""Transformed images shown as real: what the discriminator sees and what metrics see, in real runs of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine import Config

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")

from nda_mm.engine import launch
from nda_mm.engine.hooks.positive_transform_hook import PositiveTransformHook
from nda_mm.negatives import Negative
from nda_mm.registry import NEGATIVES


class Darkened(Negative):
    """Every image black: nothing else is as easy to recognise."""

    def __init__(self) -> None:
        super().__init__()
        self.iterations: list[int] = []

    def make(self, x: torch.Tensor, other: torch.Tensor | None, generator: torch.Generator | None) -> torch.Tensor:
        return torch.full_like(x, -1.0)

    def set_iteration(self, iteration: int) -> None:
        self.iterations.append(iteration)


def build(work_dir: Path, **options: Any) -> Any:
    config = Config.fromfile(launch.find_config("biggan_digits.py"))
    config.work_dir = str(work_dir)
    config.merge_from_dict(
        {
            "train_cfg": dict(max_iters=2, val_interval=1000),
            "val_cfg": None,
            "val_dataloader": None,
            "val_evaluator": None,
            "train_dataloader.batch_size": 6,
            "launcher": "none",
            "custom_hooks": [],
            **options,
        }
    )
    return launch.build_runner(config)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The real images that discriminator steps are taken on."""
    from nda_mm.models import NDABigGAN

    batches: list[torch.Tensor] = []
    plain = NDABigGAN.real_batch

    def watched(self: Any, inputs: Any, data_samples: Any) -> Any:
        images, label = plain(self, inputs, data_samples)
        batches.append(images.clone())
        return images, label

    monkeypatch.setattr(NDABigGAN, "real_batch", watched)
    return batches


def test_every_real_image_is_transformed_in_training_and_none_elsewhere(tmp_path: Path, seen: list) -> None:
    runner = build(tmp_path)
    transform = Darkened()
    hook = PositiveTransformHook(transform)
    runner.register_hook(hook)
    during: list[torch.Tensor] = []

    class AsMetricsDo(type(hook).__mro__[1]):  # an mmengine hook that looks at real images while training goes on
        def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
            runner.model.eval()
            batch = runner.train_dataloader.collate_fn([runner.train_dataloader.dataset[0]])
            during.append(runner.model.data_preprocessor(batch, True)["data_samples"].gt_img)
            runner.model.train()

    runner.register_hook(AsMetricsDo())
    runner.train()
    assert len(seen) == 2
    assert all((batch == -1.0).all() and len(batch) == 6 for batch in seen)
    assert len(during) == 2 and all((image > -1.0).any() for image in during)
    assert transform.iterations == [0, 1]
    assert not runner.model.data_preprocessor._forward_hooks  # nothing is left behind


@pytest.mark.slow
def test_a_transform_that_joins_two_finds_its_partners_in_the_batch(tmp_path: Path, seen: list) -> None:
    """The first batch is the one of the plain run, each half of an image in it from one of its images."""
    build(tmp_path / "plain").train()
    plain = seen.copy()
    seen.clear()
    hook = dict(type="nda_mm.PositiveTransformHook", transform=dict(type="Stitch"))
    build(tmp_path / "positive", custom_hooks=[hook]).train()
    known = plain[0].flip(1) if torch.equal(plain[0][:, :, 0], seen[0][:, :, 0].flip(1)) else plain[0]
    for index, image in enumerate(seen[0]):
        assert not torch.equal(image, known[index])
        halves = [
            {place for place, each in enumerate(known) if torch.equal(part(image), part(each))}
            for part in (lambda x: x[:, :8], lambda x: x[:, 8:], lambda x: x[..., :8], lambda x: x[..., 8:])
        ]
        assert (halves[0] and halves[1]) or (halves[2] and halves[3])


def test_a_model_with_negatives_is_refused(tmp_path: Path) -> None:
    hook = dict(type="nda_mm.PositiveTransformHook", transform=dict(type="Jigsaw"))
    runner = build(tmp_path, **{"custom_hooks": [hook], "model.negative": dict(type="Jigsaw")})
    with pytest.raises(ValueError, match="model.negative=None"):
        runner.train()


def test_a_model_that_has_no_single_images_is_refused() -> None:
    hook = PositiveTransformHook(dict(type="Jigsaw"))
    module = torch.nn.Identity()
    module.register_forward_hook(hook._transform_batch)
    with pytest.raises(ValueError, match="data_samples.gt_img"):
        module(dict(inputs=torch.zeros(1)))
    assert NEGATIVES.get("Jigsaw") is type(hook.transform)
