"""Mistyped settings are refused before a run, wherever they occur; no recipe is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from nda_mm.compat import apply_patches
from nda_mm.engine.config_check import check_config, check_model_name, gan_names

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("[a-z]*/*.py"))
SETTINGS = dict(
    train_cfg=dict(val_interval=3), model=dict(discriminator_steps=2), hooks=[dict(interval=1, by_epoch=True)]
)


def check(**changes: Any) -> None:
    cfg = Config(SETTINGS)
    cfg.merge_from_dict(changes)
    check_config(cfg)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.discriminator_steps", 0),
        ("train_cfg.val_interval", 1.5),
        ("train_cfg.val_interval", True),
        ("channels_last", "no"),
        ("hooks.0.by_epoch", "True"),
    ],
)
def test_a_wrong_setting_is_named(key: str, value: Any) -> None:
    check()
    with pytest.raises(ValueError, match=f"^{key} .*{value!r}"):
        check(**{key: value})


def test_every_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError) as refused:
        check(**{"train_cfg.val_interval": 0, "train_cfg.data_on_device": "off"})
    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_no_recipe_is_refused(path: Path) -> None:
    apply_patches()
    try:
        cfg = Config.fromfile(path)
    except ModuleNotFoundError as error:  # it is inherited from an absent host
        pytest.skip(str(error))
    check_config(cfg)


def test_names_of_models() -> None:
    pytest.importorskip("mmagic")
    for model in (None, {}, dict(type="BigGAN"), dict(type="nda_mm.NDABigGAN"), dict(type=int)):
        check_model_name(model)
    assert {"NDABigGAN", "NDADCGAN", "NDAPGGAN", "NDASNGAN", "NDAStyleGAN2", "NDAWGANGP"} <= set(gan_names())
    for name in ("nda_mm.NDAStyleGAN4", "NDAFunnyGAN"):
        with pytest.raises(ValueError, match=f"{name}.*nda_mm.NDABigGAN"):
            check_model_name(dict(type=name))
    with pytest.raises(ValueError, match=r"nda_mm\.NDABigGAN"):
        check_model_name(dict(type="NDABigGAN"))
