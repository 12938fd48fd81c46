"""The settings that the CIFAR-10 BigGAN is timed in: a ladder, each rung one change more."""

from __future__ import annotations

from typing import Any

import torch
from gan_runs import Setting
from mmengine.runner import Runner

from nda_mm.engine.bf16_optim_wrapper import BF16OptimWrapper

#: The recipe without anything that it does for speed; rungs switch them on, one after the other.
PLAIN: dict[str, Any] = {
    "default_hooks.runtime_info": dict(type="RuntimeInfoHook"),
    "model.channels_last": False,
    "model.compile_networks": False,
    "model.data_preprocessor.type": "DataPreprocessor",
    "model.ema_config.type": "ExponentialMovingAverage",
    "optim_wrapper.discriminator.optimizer.fused": None,
    "optim_wrapper.generator.optimizer.fused": None,
    "train_cfg.data_on_device": False,
}
FUSED = {f"optim_wrapper.{network}.optimizer.fused": True for network in ("discriminator", "generator")}

#: What each rung adds: its name, settings of the config, and a precision where it changes that. First the
#: precision: while the device takes as long as it does in float32, nothing that the host is spared would show.
RUNGS: list[tuple[str, dict[str, Any], str | None]] = [
    ("our loader and loop", {}, "fp32"),
    ("+ TF32", {}, "tf32"),
    ("+ bf16", {}, "bf16"),
    ("+ logged terms fetched in bundles", {"default_hooks.runtime_info": dict(type="nda_mm.DeferredInfoHook")}, None),
    ("+ a batch preprocessed at once", {"model.data_preprocessor.type": "nda_mm.BatchDataPreprocessor"}, None),
    ("+ data on the device", {"train_cfg.data_on_device": True}, None),
    ("+ moving average at once", {"model.ema_config.type": "nda_mm.BatchedMovingAverage"}, None),
    ("+ fused Adam", FUSED, None),
    ("+ channels_last", {"model.channels_last": True}, None),
    ("+ compile", {"model.compile_networks": True}, None),
    ("+ CUDA graphs", {"model.compile_networks": dict(mode="reduce-overhead")}, None),
]


def ladder() -> list[Setting]:
    """mmagic's own loop in float32, then our rungs, each with all before it."""
    settings = [Setting("mmagic's loader and loop", stock=True)]
    options, precision = dict(PLAIN), "fp32"
    for name, added, changed in RUNGS:
        options, precision = options | added, changed or precision
        settings.append(Setting(name, dict(options), precision))
    return settings


LADDER = ladder()
#: Our recipe as anybody gets it.
SHIPPED = Setting("the recipe as shipped", precision=None)
#: All that can be timed, by the names that the commands know. Rung 0 is float32 throughout, which nobody gets without
#: asking for it: torch lets convolutions use TF32, and so does "0t".
SETTINGS: dict[str, Setting] = {
    "0": LADDER[0],
    "0t": Setting("the same as torch sets it, with convolutions in TF32", precision="torch's default", stock=True),
    **{str(number): setting for number, setting in enumerate(LADDER) if number},
    "shipped": SHIPPED,
}


def precision_of(runner: Runner) -> str:
    """What a run was done in: its optimizers' autocast, else what float32 was allowed to be."""
    if any(isinstance(wrapper, BF16OptimWrapper) for wrapper in runner.optim_wrapper.values()):
        return "bf16"
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return "tf32" if products else "torch's default" if convolutions else "fp32"
