from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from nda_mm.compat.adam_betas import float_betas


def test_mmagics_own_stylegan2_can_build_its_optimizers(tmp_path: Path) -> None:
    pytest.importorskip("mmagic")
    path = tmp_path / "stock.py"
    path.write_text("_base_ = 'mmagic::styleganv2/stylegan2_c2_8xb4-800kiters_ffhq-256x256.py'\n")
    wrappers = Config.fromfile(path).optim_wrapper
    assert float_betas(wrappers) == 2
    for part, ratio in (("generator", 4 / 5), ("discriminator", 16 / 17)):
        betas = wrappers[part].optimizer.betas
        assert tuple(betas) == (0.0, 0.99**ratio)
        torch.optim.Adam([torch.zeros(1, requires_grad=True)], betas=tuple(betas))


def test_floats_and_whatever_is_no_config_stay() -> None:
    config = dict(optimizer=dict(type="Adam", betas=(0.5, 0.9)), clip_grad=None)
    assert float_betas(config) == 0
    assert config["optimizer"] == dict(type="Adam", betas=(0.5, 0.9))
    assert float_betas(None) == 0
