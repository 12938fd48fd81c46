"""The hook on mmpretrain's own classifiers, trained by mmengine's Runner."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmpretrain")
import tiny_classifier
import tiny_run
from mmengine.registry import MODELS, DefaultScope
from tiny_run import assert_equal, assert_resumed, assert_two_ranks_agree, losses
from torch import nn

from nda_mm.models.outlier_exposure import OutlierExposure
from nda_mm.negatives import build_negative

JIGSAW = dict(negative=dict(type="Jigsaw", grid=2))
SMOOTH = dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="classy_vision")


def exposed(model: Any, **settings: Any) -> OutlierExposure:
    return OutlierExposure(model, build_negative(JIGSAW["negative"]), **settings)


def run(folder: Path, **settings: Any) -> Any:
    return tiny_run.train(tiny_classifier.make_config(folder, **settings))


@pytest.fixture
def model() -> Any:
    DefaultScope.get_instance("test_outlier_exposure", scope_name="mmpretrain")
    torch.manual_seed(0)
    return MODELS.build(tiny_classifier.make_config("")["model"]).train()


def batch(count: int = 6) -> tuple[torch.Tensor, list[Any]]:
    from mmpretrain.structures import DataSample

    images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return images, [DataSample().set_gt_label(number % 10) for number in range(count)]


def test_the_loss_and_its_gradients_are_the_hosts_and_of_the_cross_entropy_to_uniform(model: Any) -> None:
    images, samples = batch()
    twin = deepcopy(model)
    exposure = exposed(model, seed=3)
    exposure.attach()
    exposure.set_step(5, weight=0.25)
    found = model(images, samples, mode="loss")
    loss = twin(images, samples, mode="loss")["loss"]
    assert torch.equal(found["loss"], loss)
    negatives = exposure._make(images)
    logits = twin.head(twin.extract_feat(negatives))
    uniform = torch.full((len(negatives), 10), 0.1)
    expected = nn.functional.cross_entropy(logits, uniform)
    torch.testing.assert_close(found["loss_outlier_exposure"], 0.25 * expected)
    torch.testing.assert_close(found["negative_confidence"], logits.softmax(dim=1).amax(dim=1).mean())
    (found["loss"] + found["loss_outlier_exposure"]).backward()
    (loss + 0.25 * expected).backward()
    for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)


@pytest.mark.parametrize("update", [False, True])
def test_statistics_are_those_of_real_images_unless_asked_for(model: Any, update: bool) -> None:
    images, samples = batch()
    plain = deepcopy(model)
    plain(images, samples, mode="loss")
    exposure = exposed(model, update_statistics=update)
    exposure.attach()
    model(images, samples, mode="loss")
    same = [torch.equal(ours, theirs) for ours, theirs in zip(model.buffers(), plain.buffers(), strict=True)]
    assert all(same) != update


def test_a_share_of_the_batch_is_drawn_anew_in_each_step(model: Any) -> None:
    images, _ = batch(10)
    exposure = exposed(model, share=0.35)
    made = []
    for step in (0, 0, 1):
        exposure.set_step(step)
        made.append(exposure._make(images))
    assert len(made[0]) == 4
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    # Jigsaw keeps the pixels of its image, so that the sum tells which.
    sums = images.double().sum(dim=(1, 2, 3))
    chosen = [int((sums - each).abs().argmin()) for each in made[0].double().sum(dim=(1, 2, 3))]
    assert len(set(chosen)) == 4


def test_at_weight_zero_the_run_is_the_hosts_own(tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", epochs=1)
    zero = run(tmp_path / "zero", epochs=1, exposure=dict(**JIGSAW, weight=0))
    assert_equal(tiny_run.weights(zero), tiny_run.weights(plain))
    assert losses(zero) == losses(plain)


def test_a_transformer_with_label_smoothing_and_mixup(tmp_path: Path) -> None:
    ours = run(tmp_path, exposure=JIGSAW, vit=True, loss=SMOOTH, mixup=True, epochs=1)
    assert all(set(entry) == {"loss", "loss_outlier_exposure", "negative_confidence"} for entry in losses(ours))
    assert not any("negative" in name or "exposure" in name for name in ours.model.state_dict())
    assert not ours.model._forward_hooks


@pytest.mark.parametrize("vit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_resumed_run_is_exact(tmp_path: Path, vit: bool) -> None:
    exposure = dict(negative=dict(type="Stitch"), share=0.5, weight=[(0, 0.0), (2, 0.5)])
    seen = assert_resumed(tiny_classifier.make_config, tmp_path, exposure=exposure, vit=vit)
    assert ["loss_outlier_exposure" in entry for entry in seen[:4]] == [False, False, True, True]


@pytest.mark.slow
def test_two_ranks_agree_on_weights_draw_apart_and_resume_exactly(tmp_path: Path) -> None:
    assert_two_ranks_agree(tmp_path, "tiny_classifier.py", exposure=JIGSAW, epochs=1)


def test_what_does_not_fit_is_refused(tmp_path: Path, model: Any) -> None:
    with pytest.raises(ValueError, match="share"):
        exposed(model, share=1.5)
    with pytest.raises(TypeError, match="LinearClsHead"):
        exposed(model.backbone)
    sigmoid = dict(type="LabelSmoothLoss", label_smooth_val=0.1, num_classes=10, mode="multi_label")
    runner = tiny_run.build(tiny_classifier.make_config(tmp_path, exposure=dict(**JIGSAW, weight=0), loss=sigmoid))
    with pytest.raises(TypeError, match="use_sigmoid"):
        runner.train()
