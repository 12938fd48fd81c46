"""tools/screen.py: a real screening of a toy size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("mmagic")
pytest.importorskip("sklearn")


from nda_mm.studies.screening import PLAIN
from nda_mm.studies.table import read_evaluations


@pytest.mark.slow
def test_a_real_screening_of_digits_at_a_toy_budget(tmp_path: Path, command: Callable[..., str]) -> None:
    options = [
        "train_cfg.max_iters=4",
        "train_cfg.val_interval=4",
        "train_dataloader.batch_size=8",
        "model.generator.arch_cfg.in_channels=[8,8]",
        "model.generator.arch_cfg.out_channels=[8,8]",
        "model.ema_config.start_iter=0",
        "val_evaluator.metrics.0.fake_nums=100",
        "val_evaluator.metrics.1.fake_nums=100",
    ]
    words = ["nda_biggan_digits", "--transforms", "jigsaw", "--seeds", "0", "--reals", "128", "--out", "."]
    said = command("screen.py", *words, "--cfg-options", *options)
    table = (tmp_path / "screening.md").read_text()
    assert table in said
    final = {}
    for name in (PLAIN, "negative_jigsaw", "positive_jigsaw"):
        found = read_evaluations(tmp_path / name / "seed_0").set_index("metric")["value"]
        final[name] = found["classifier_digits/frechet"]
    assert len(set(final.values())) == 3  # both sides change the training
    for name in ("negative_jigsaw", "positive_jigsaw"):
        assert f"{final[name]:.4g} [{final[name] - final[PLAIN]:+.3g}]" in table
