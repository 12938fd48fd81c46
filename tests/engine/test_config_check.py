"""Mistyped settings are refused before a run, wherever they occur. (Every recipe passes: tests/configs.)"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS as MMENGINE_METRICS

from nda_mm.engine.config_check import check_config, check_model_name

Make = Callable[..., dict[str, Any]]
SAVES = dict(interval=5, by_epoch=False)
KNN = dict(type="nda_mm.KNNHook", bank={}, test={})


@MMENGINE_METRICS.register_module(force=True)
class PrefixedMetric(BaseMetric):
    default_prefix = "acc"

    def process(self, data_batch: Any, data_samples: Any) -> None: ...

    def compute_metrics(self, results: Any) -> dict[str, float]:
        return {"top1": 1.0}


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


@pytest.mark.parametrize(
    ("evaluator", "hooks", "allowed", "refused"),
    [
        (dict(type="PrefixedMetric"), [], ["acc/top1", "acc/top5"], ["acc/top1", "top5"]),
        ([dict(type="PrefixedMetric", prefix="mine")], [], "mine/top1", "acc/top1"),
        (dict(metrics=[dict(type="PrefixedMetric")]), [KNN], "acc/top1", "knn/top1"),
        (None, [dict(KNN, prefix="near")], "near/top5", "near/top2"),
        ([dict(type="TinyMetric"), dict(type="PrefixedMetric")], [], "anything", None),  # has names of its own
        (dict(type="Unknown"), [], "anything", None),
        (None, [], "anything", None),
    ],
)
def test_a_best_checkpoint_needs_a_metric_that_exists(
    config: Make, evaluator: Any, hooks: list[Any], allowed: Any, refused: Any
) -> None:
    cfg = {**config(validate=True), "val_evaluator": evaluator, "custom_hooks": hooks}
    for key in (allowed, "auto", None):
        check(cfg, **{"default_hooks.checkpoint.save_best": key})
    if refused is not None:
        with pytest.raises(ValueError, match=r"^default_hooks\.checkpoint\.save_best="):
            check(cfg, **{"default_hooks.checkpoint.save_best": refused})


def test_a_gans_best_checkpoint_needs_a_metric_of_its_own(project_root: Path) -> None:
    pytest.importorskip("mmagic")
    recipe = Config.fromfile(project_root / "configs" / "biggan" / "biggan_digits.py")
    check(recipe, **{"default_hooks.checkpoint.save_best": "classifier_digits/frechet"})
    with pytest.raises(ValueError, match=r"save_best='classifier_digit/frechet' .*classifier_digits/\*"):
        check(recipe, **{"default_hooks.checkpoint.save_best": "classifier_digit/frechet"})


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
