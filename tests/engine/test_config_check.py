"""Mistyped settings are refused before a run, wherever they occur; no recipe is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS as MMENGINE_METRICS

from nda_mm.compat import apply_patches
from nda_mm.engine.config_check import check_config, check_model_name, gan_names

Make = Callable[..., dict[str, Any]]
CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs").glob("[a-z]*/*.py"))


KNN = dict(type="nda_mm.KNNHook", bank={}, test={})


@MMENGINE_METRICS.register_module(force=True)
class PrefixedMetric(BaseMetric):
    default_prefix = "acc"

    def process(self, data_batch: Any, data_samples: Any) -> None: ...

    def compute_metrics(self, results: Any) -> dict[str, float]:
        return {"top1": 1.0}


def check(cfg: dict[str, Any], **changes: Any) -> None:
    whole = Config(cfg)
    whole.merge_from_dict(changes)
    check_config(whole)


@pytest.mark.parametrize("value", [0, 1.5, "2", None, True])
@pytest.mark.parametrize(
    "key", ["model.discriminator_steps", "train_cfg.val_interval", "default_hooks.checkpoint.interval"]
)
def test_steps_and_intervals_are_whole_numbers_above_0(config: Make, key: str, value: Any) -> None:
    check(config(), **{key: 3})
    with pytest.raises(ValueError, match=f"^{key} .*{value!r}"):
        check(config(), **{key: value})


@pytest.mark.parametrize("key", ["train_cfg.data_on_device", "channels_last", "train_dataloader.sampler.shuffle"])
def test_a_string_is_no_switch(config: Make, key: str) -> None:
    for value in (True, False):
        check(config(), **{key: value})
    with pytest.raises(ValueError, match=f"^{key} .*'no'"):
        check(config(), **{key: "no"})


@pytest.mark.parametrize(
    ("place", "kind"), [("default_hooks.keeper", "nda_mm.SafeCheckpointHook"), ("custom_hooks.0", "CheckpointHook")]
)
@pytest.mark.parametrize(
    ("key", "value"),
    [("interval", 0), ("by_epoch", True), ("filename_tmpl", "model.pth"), ("filename_tmpl", "{}_{}.pth")],
)
def test_a_checkpoint_hook_is_found_under_any_name(config: Make, place: str, kind: str, key: str, value: Any) -> None:
    cfg = config()
    hook = dict(type=kind, interval=5, by_epoch=False)
    collection, name = place.split(".")
    cfg["default_hooks"].pop("checkpoint")
    if collection == "custom_hooks":
        cfg["custom_hooks"] = [hook]
    else:
        cfg["default_hooks"][name] = hook
    check(cfg, **{f"{place}.filename_tmpl": "model_{}.pth"})
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
        (dict(type="PrefixedMetric"), [], "acc/top1", "accuracy/top1"),
        ([dict(type="PrefixedMetric", prefix="mine")], [], "mine/top1", "acc/top1"),
        (dict(metrics=[dict(type="PrefixedMetric")]), [KNN], "acc/top1", "knn/top1"),
        (None, [KNN], "knn/top5", "knn/top2"),
        (None, [dict(KNN, prefix="near")], "near/top1", "knn/top1"),
        (dict(type="PrefixedMetric"), [], ["acc/top1", "acc/top5"], ["acc/top1", "top5"]),
    ],
)
def test_a_metric_that_there_cannot_be_is_no_best(
    config: Make, evaluator: Any, hooks: list[Any], allowed: Any, refused: Any
) -> None:
    cfg = {**config(validate=True), "val_evaluator": evaluator, "custom_hooks": hooks}
    for key in (allowed, "auto", None):
        check(cfg, **{"default_hooks.checkpoint.save_best": key})
    with pytest.raises(ValueError, match=r"^default_hooks\.checkpoint\.save_best='.*' is none of the metrics"):
        check(cfg, **{"default_hooks.checkpoint.save_best": refused})


@pytest.mark.parametrize("evaluator", [dict(type="TinyMetric"), dict(type="Unknown"), None])
def test_a_metric_whose_names_are_unknown_refuses_none(config: Make, evaluator: Any) -> None:
    check(
        {**config(validate=True), "val_evaluator": [evaluator, dict(type="PrefixedMetric")] if evaluator else None},
        **{"default_hooks.checkpoint.save_best": "anything"},
    )


def test_every_wrong_setting_is_named(config: Make) -> None:
    wrong = {"train_cfg.val_interval": 0, "train_cfg.data_on_device": "off", "default_hooks.checkpoint.interval": 0}
    with pytest.raises(ValueError) as refused:
        check(config(), **wrong)
    assert len(str(refused.value).splitlines()) == 3


@pytest.mark.parametrize("path", CONFIGS, ids=[path.stem for path in CONFIGS])
def test_no_recipe_is_refused(path: Path) -> None:
    apply_patches()
    try:
        cfg = Config.fromfile(path)
    except ModuleNotFoundError as error:  # it is inherited from an absent host
        pytest.skip(str(error))
    check_config(cfg)


class TestModelNames:
    @pytest.fixture(autouse=True)
    def _host(self) -> None:
        pytest.importorskip("mmagic")

    def test_names_of_hosts_and_of_our_models_pass(self) -> None:
        for model in (None, {}, dict(type="BigGAN"), dict(type="nda_mm.NDABigGAN"), dict(type=int)):
            check_model_name(model)

    @pytest.mark.parametrize("name", ["nda_mm.NDAStyleGAN4", "NDAFunnyGAN"])
    def test_an_unknown_one_is_answered_with_all_of_ours(self, name: str) -> None:
        assert {"NDABigGAN", "NDADCGAN", "NDAPGGAN", "NDASNGAN", "NDAStyleGAN2", "NDAWGANGP"} <= set(gan_names())
        with pytest.raises(ValueError, match=name) as raised:
            check_model_name(dict(type=name))
        assert all(f"nda_mm.{known}" in str(raised.value) for known in gan_names())

    def test_a_name_without_the_prefix_is_answered_with_it(self) -> None:
        with pytest.raises(ValueError, match="write 'nda_mm.NDABigGAN'"):
            check_model_name(dict(type="NDABigGAN"))
