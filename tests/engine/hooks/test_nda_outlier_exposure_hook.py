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
from tiny_run import assert_equal, train_in_processes
from torch import nn

from nda_mm.models.outlier_exposure import OutlierExposure
from nda_mm.negatives import build_negative

JIGSAW = dict(negative=dict(type="Jigsaw", grid=2))
SMOOTH = dict(type="LabelSmoothLoss", label_smooth_val=0.1, mode="classy_vision")


def run(tmp_path: Path, name: str, resume: bool = False, **settings: Any) -> Any:
    return tiny_run.train(tiny_classifier.make_config(tmp_path / name, **settings), resume)


def losses(runner: Any) -> list[dict[str, float]]:
    return tiny_run.hook(runner, "LossesHook").seen


@pytest.fixture
def model() -> Any:
    DefaultScope.get_instance("test_outlier_exposure", scope_name="mmpretrain")
    torch.manual_seed(0)
    return MODELS.build(tiny_classifier.make_config("")["model"]).train()


def batch(count: int = 6) -> tuple[torch.Tensor, list[Any]]:
    from mmpretrain.structures import DataSample

    images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    return images, [DataSample().set_gt_label(number % 10) for number in range(count)]


class TestTheLoss:
    def test_it_is_the_hosts_and_the_cross_entropy_to_uniform(self, model: Any) -> None:
        images, samples = batch()
        plain = deepcopy(model)(images, samples, mode="loss")
        exposure = OutlierExposure(model, build_negative(JIGSAW["negative"]), seed=3)
        exposure.attach()
        exposure.set_step(5, weight=0.25)
        twin = deepcopy(model)  # with the same statistics
        found = model(images, samples, mode="loss")
        assert torch.equal(found["loss"], plain["loss"])
        negatives = exposure._make(images)
        logits = twin.head(twin.extract_feat(negatives))
        uniform = torch.full((len(negatives), 10), 0.1)
        expected = nn.functional.cross_entropy(logits, uniform)
        torch.testing.assert_close(found["loss_outlier_exposure"], 0.25 * expected)
        torch.testing.assert_close(found["negative_confidence"], logits.softmax(dim=1).amax(dim=1).mean())

    def test_gradients_reach_every_weight_and_are_those_of_the_sum(self, model: Any) -> None:
        images, samples = batch()
        exposure = OutlierExposure(model, build_negative(JIGSAW["negative"]))
        twin = deepcopy(model)
        exposure.attach()
        exposure.set_step(0, weight=0.5)
        found = model(images, samples, mode="loss")
        (found["loss"] + found["loss_outlier_exposure"]).backward()
        loss = twin(images, samples, mode="loss")["loss"]
        logits = twin.head(twin.extract_feat(exposure._make(images)))
        (loss - 0.5 * logits.log_softmax(dim=1).mean()).backward()
        for (name, ours), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(ours.grad, theirs.grad, msg=name)

    @pytest.mark.parametrize("update", [False, True])
    def test_statistics_are_those_of_real_images_unless_asked_for(self, model: Any, update: bool) -> None:
        images, samples = batch()
        plain = deepcopy(model)
        plain(images, samples, mode="loss")
        exposure = OutlierExposure(model, build_negative(JIGSAW["negative"]), update_statistics=update)
        exposure.attach()
        model(images, samples, mode="loss")
        same = [torch.equal(ours, theirs) for ours, theirs in zip(model.buffers(), plain.buffers(), strict=True)]
        assert all(same) != update

    def test_a_share_of_the_batch_is_drawn_anew_in_each_step(self, model: Any) -> None:
        images, _ = batch(10)
        exposure = OutlierExposure(model, build_negative(dict(type="Jigsaw", grid=2)), share=0.35)
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
    plain = run(tmp_path, "plain", epochs=1)
    zero = run(tmp_path, "zero", epochs=1, exposure=dict(**JIGSAW, weight=0))
    assert_equal(tiny_run.weights(zero), tiny_run.weights(plain))
    assert losses(zero) == losses(plain)


def test_a_transformer_with_label_smoothing_and_mixup(tmp_path: Path) -> None:
    settings: dict[str, Any] = dict(vit=True, loss=SMOOTH, mixup=True, epochs=1)
    ours = run(tmp_path, "ours", exposure=JIGSAW, **settings)
    assert all(set(entry) == {"loss", "loss_outlier_exposure", "negative_confidence"} for entry in losses(ours))
    assert not any("negative" in name or "exposure" in name for name in ours.model.state_dict())
    assert not ours.model._forward_hooks


@pytest.mark.parametrize("vit", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_resumed_run_is_exact(tmp_path: Path, vit: bool) -> None:
    settings: dict[str, Any] = dict(
        exposure=dict(negative=dict(type="Stitch"), share=0.5, weight=[(0, 0.0), (2, 0.5)]), vit=vit
    )
    straight = run(tmp_path, "straight", **settings)
    run(tmp_path, "stopped", stop_at=3, **settings)
    resumed = run(tmp_path, "stopped", resume=True, **settings)
    assert_equal(tiny_run.weights(resumed), tiny_run.weights(straight))
    assert losses(resumed) == losses(straight)[3:]
    assert ["loss_outlier_exposure" in entry for entry in losses(straight)[:4]] == [False, False, True, True]


@pytest.mark.slow
def test_two_ranks_agree_on_weights_and_draw_apart(tmp_path: Path) -> None:
    outcomes, _ = train_in_processes(tmp_path / "run", "tiny_classifier.py", exposure=JIGSAW, epochs=1)
    learnt = [{n: v for n, v in found["weights"].items() if "running" not in n} for found in outcomes]
    assert_equal(learnt[0], learnt[1])
    assert outcomes[0]["losses"] != outcomes[1]["losses"]


def test_what_does_not_fit_is_refused(tmp_path: Path, model: Any) -> None:
    with pytest.raises(ValueError, match="share"):
        OutlierExposure(model, build_negative(JIGSAW["negative"]), share=1.5)
    with pytest.raises(TypeError, match="LinearClsHead"):
        OutlierExposure(model.backbone, build_negative(JIGSAW["negative"]))
    sigmoid = dict(type="LabelSmoothLoss", label_smooth_val=0.1, num_classes=10, mode="multi_label")
    runner = tiny_run.build(tiny_classifier.make_config(tmp_path, exposure=dict(**JIGSAW, weight=0), loss=sigmoid))
    with pytest.raises(TypeError, match="use_sigmoid"):
        runner.train()
