"""The hook on mmpretrain's own MoCo, trained by mmengine's Runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("mmpretrain")
import tiny_contrast
import tiny_run
from tiny_run import SGD, assert_equal, assert_resumed, assert_two_ranks_agree, losses

from nda_mm.engine.hooks.nda_contrast_hook import NDAContrastHook
from nda_mm.models.contrast import NegativeContrast
from nda_mm.negatives import build_negative

JIGSAW = dict(negative=dict(type="Jigsaw", grid=2))
AMP = dict(type="nda_mm.BF16OptimWrapper", optimizer=SGD)
ACCUMULATE = dict(optimizer=SGD, accumulative_counts=2)


def run(tmp_path: Path, name: str, **settings: Any) -> Any:
    return tiny_run.train(tiny_contrast.make_config(tmp_path / name, **settings))


STOCK_LOOP = dict(loop="EpochBasedTrainLoop", epochs=1)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Any:
    """A run without the hook, under mmengine's own loop."""
    return run(tmp_path_factory.mktemp("stock"), "plain", **STOCK_LOOP)


def test_at_weight_zero_the_run_is_the_hosts_own(tmp_path, plain):
    zero = run(tmp_path, "zero", contrast=dict(**JIGSAW, weight=0), **STOCK_LOOP)
    assert_equal(tiny_run.weights(zero), tiny_run.weights(plain))
    assert losses(zero) == losses(plain)
    assert set(losses(zero)[0]) == {"loss"}


def test_with_negatives_training_differs_and_is_logged(tmp_path, plain):
    ours = run(tmp_path, "ours", contrast=JIGSAW, **STOCK_LOOP)
    # The first step's data and weights are the plain run's; its loss has one more term.
    assert losses(ours)[0]["loss"] > losses(plain)[0]["loss"]
    names = {"loss", "positive_accuracy", "positive_similarity", "queue_similarity", "negative_similarity"}
    assert all(set(entry) == names for entry in losses(ours))
    assert list(ours.model.state_dict()) == list(plain.model.state_dict())
    assert not torch.equal(ours.model.backbone.conv1.weight, plain.model.backbone.conv1.weight)
    assert type(ours.model.head.loss_module).__name__ == "CrossEntropyLoss"
    assert not ours.model._forward_pre_hooks


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="float32"),
        pytest.param(dict(optim_wrapper=AMP), id="amp", marks=pytest.mark.slow),
        pytest.param(dict(optim_wrapper=ACCUMULATE), id="accumulate", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("device", "deterministic")
def test_a_resumed_run_is_exact_from_the_middle_of_an_epoch(tmp_path, settings):
    """With a curriculum, a schedule of the weight, and the seed of the checkpoint."""
    curriculum = dict(type="Curriculum", milestones=[(0, dict(type="Stitch")), (5, dict(type="Jigsaw", grid=2))])
    contrast = dict(negative=curriculum, num_negatives=2, weight=[(0, 0.0), (2, 0.5), (6, 1.0)], seed=11)
    resumed = dict(contrast={**contrast, "seed": 12})
    seen = assert_resumed(tiny_contrast.make_config, tmp_path, resumed, contrast=contrast, **settings)
    assert ["negative_similarity" in entry for entry in seen] == [False] * 2 + [True] * 6


@pytest.mark.slow
def test_compiled_by_mmengine(tmp_path):
    eager = run(tmp_path, "eager", contrast=JIGSAW, epochs=1, images=16)
    compiled = run(tmp_path, "compiled", contrast=JIGSAW, epochs=1, images=16, compiled=True)
    for expected, found in zip(losses(eager), losses(compiled), strict=True):
        assert found.keys() == expected.keys()
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-3)


@pytest.mark.slow
def test_two_ranks_agree_on_weights_draw_apart_and_resume_exactly(tmp_path):
    assert_two_ranks_agree(tmp_path, "tiny_contrast.py", contrast=JIGSAW)  # on the queue too: in one order


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (dict(queue=60, contrast=dict(JIGSAW, weight=0)), "model.queue_len"),  # a bare assertion of mmpretrain's
        (dict(images=36, drop_last=False), "train_dataloader.drop_last"),
        (dict(views=(2, 1)), "two views"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(tmp_path, settings, match):
    runner = tiny_run.build(tiny_contrast.make_config(tmp_path / "run", **{"contrast": JIGSAW, **settings}))
    with pytest.raises(ValueError, match=match):
        runner.train()
    assert losses(runner) == []


def test_batches_that_are_all_whole_need_not_be_dropped(tmp_path):
    settings = dict(images=16, drop_last=False, contrast=JIGSAW)
    runner = tiny_run.build(tiny_contrast.make_config(tmp_path / "run", **settings))
    runner.train()
    assert len(losses(runner)) == runner.max_iters


def test_settings_out_of_range_are_refused_by_name(plain):
    for name, value in dict(view="both", similarity_scale=0, keep="easiest", num_negatives=0).items():
        with pytest.raises(ValueError, match=name):
            NegativeContrast(plain.model, build_negative(JIGSAW["negative"]), **{name: value})
    for settings, kind in ((dict(negative="Jigsaw"), TypeError), (dict(JIGSAW, weight=[(0, -0.5)]), ValueError)):
        with pytest.raises(kind, match="negative"):
            NDAContrastHook(**settings)
