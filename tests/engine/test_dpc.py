"""DPC with negatives, trained by mmengine's Runner on clips through mmaction2's pipeline."""

from __future__ import annotations

import pytest

pytest.importorskip("mmaction")
pytest.importorskip("sklearn")
from tiny_dpc import ADAM, make_config
from tiny_run import assert_equal, assert_resumed, assert_two_ranks_agree, losses, train, weights

AMP = dict(type="nda_mm.BF16OptimWrapper", optimizer=ADAM)
ACCUMULATE = dict(optimizer=ADAM, accumulative_counts=2)


def test_weight_zero_is_the_run_without_negatives(tmp_path):
    plain = train(make_config(tmp_path / "plain", epochs=1))
    zero = train(make_config(tmp_path / "zero", epochs=1, negative=dict(type="Stitch"), model=dict(weight=0)))
    assert_equal(weights(zero), weights(plain))
    assert losses(zero) == losses(plain)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, dict(optim_wrapper=AMP), dict(optim_wrapper=ACCUMULATE)], ids=["", "amp", "acc"]
)
@pytest.mark.usefixtures("device", "deterministic")
def test_a_resumed_run_is_exact_from_the_middle_of_an_epoch(tmp_path, settings):
    # CUDA's gradient of a maximum pool in three dimensions adds up in whatever order it comes.
    negative = dict(type="RandomNegative", negatives=[dict(type="Stitch"), dict(type="ShuffleFrames")])
    assert_resumed(make_config, tmp_path, pool=False, negative=negative, **settings)


@pytest.mark.slow
def test_two_ranks_agree_on_weights_draw_apart_and_resume_exactly(tmp_path):
    assert_two_ranks_agree(tmp_path, "tiny_dpc.py", negative=dict(type="Jigsaw", grid=2))
