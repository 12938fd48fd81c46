"""Recipes on digits in two processes on a CPU, a few steps each, as a user starts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nda_mm.compat import allow_safe_globals

GAN = ["train_cfg.max_iters=2", "val_cfg=None"]
EPOCH = ["train_cfg.max_epochs=1", "train_dataloader.dataset.indices=256"]
CLIPS = ["train_cfg.max_epochs=1", "train_dataloader.dataset.num_clips=32"]
VALIDATED = ["train_cfg.val_interval=1", "val_dataloader.dataset.indices=32"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the processes need one each")
@pytest.mark.parametrize(
    ("recipe", "host", "options"),
    [
        ("nda_biggan_digits", "mmagic", GAN),
        ("nda_pix2pix_digits", "mmagic", GAN),
        ("nda_moco_digits", "mmpretrain", EPOCH),
        ("nda_dpc_digits", "mmaction", CLIPS),
        ("tsn_digits", "mmaction", [*CLIPS, *VALIDATED]),
        ("detection_digits_scenes", "mmdet", [*EPOCH[:1], "train_dataloader.dataset.indices=32", *VALIDATED]),
    ],
)  # fmt: skip
def test_a_recipe_trains_in_two_processes(
    recipe: str, host: str, options: list[str], tmp_path: Path, command: Callable[..., str]
) -> None:
    pytest.importorskip(host)
    command("dist_train.sh", f"{recipe}.py", "2", "--work-dir", "run", "--cfg-options", *options)
    allow_safe_globals()
    (saved,) = (tmp_path / "run").glob("[ei]*_[12].pth")  # epoch or iter; best_ may be beside it
    checkpoint = torch.load(saved, weights_only=True)
    assert len(checkpoint["nda_mm_training"]["ranks"]) == 2
