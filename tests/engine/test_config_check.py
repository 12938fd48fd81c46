"""Mistyped settings are refused before a run, wherever they occur. (Every recipe passes: tests/configs.)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from mmengine.config import Config

from nda_mm.engine.config_check import check_config, check_model_name

Make = Callable[..., dict[str, Any]]
SAVES = dict(interval=5, by_epoch=False)


def check(cfg: dict[str, Any], **changes: Any) -> None:
    whole = Config(dict(cfg))
    whole.merge_from_dict(changes)
    check_config(whole)


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("model.discriminator_steps", 3, [0, 1.5, "2", None, True]),
        ("train_cfg.val_interval", 3, [0]),
        ("default_hooks.checkpoint.interval", 3, [0, -1]),
        ("train_cfg.data_on_device", False, ["no"]),
        ("train_dataloader.sampler.shuffle", True, ["Off"]),
    ],
)
def test_counts_and_switches(config: Make, key: str, good: Any, bad: list[Any]) -> None:
    check(config(), **{key: good})
    for value in bad:
        with pytest.raises(ValueError, match=f"^{key} .*{value!r}"):
            check(config(), **{key: value})


@pytest.mark.parametrize(
    ("place", "hooks"),
    [
        ("default_hooks.keeper", dict(default_hooks=dict(keeper=dict(SAVES, type="nda_mm.SafeCheckpointHook")))),
        ("custom_hooks.0", dict(default_hooks={}, custom_hooks=[dict(SAVES, type="CheckpointHook")])),
    ],
)
def test_a_checkpoint_hook_is_found_under_any_name(config: Make, place: str, hooks: dict[str, Any]) -> None:
    cfg = {**config(), **hooks}
    check(cfg, **{f"{place}.filename_tmpl": "model_{}.pth"})
    for key, value in dict(interval=0, by_epoch=True, filename_tmpl="model.pth").items():
        with pytest.raises(ValueError, match=rf"^{place}\.{key} must"):
            check(cfg, **{f"{place}.{key}": value})


def test_epochs_may_be_counted_where_there_are_any(config: Make) -> None:
    check(config(epochs=True, checkpoint=dict(by_epoch=True)))
    plain = config()
    plain["train_cfg"] = dict(by_epoch=False, max_iters=9, val_interval=3)
    with pytest.raises(ValueError, match="checkpoint.by_epoch must be False"):
        check(plain, **{"default_hooks.checkpoint.by_epoch": True})


def test_names_of_models() -> None:
    pytest.importorskip("mmagic")
    for model in (None, {}, dict(type="BigGAN"), dict(type="nda_mm.NDABigGAN"), dict(type=int)):
        check_model_name(model)
    for name in ("nda_mm.NDAStyleGAN4", "NDAFunnyGAN"):
        with pytest.raises(
            ValueError, match=f"model.type .*{name}.*nda_mm.NDABigGAN, .*nda_mm.NDAStyleGAN2, .*nda_mm.NDAWGANGP"
        ):
            check_model_name(dict(type=name))
    with pytest.raises(ValueError, match="write 'nda_mm.NDABigGAN'"):
        check_model_name(dict(type="NDABigGAN"))
