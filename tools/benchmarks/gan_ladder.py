"""The settings that the CIFAR-10 BigGAN is timed in: a ladder, each rung one change more."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import Any

#: Discriminator steps to one of the generator, in the recipes and in mmagic's.
DISCRIMINATOR_STEPS = 4
#: Generator steps of the published schedule.
SCHEDULE = 97_500


@dataclass(frozen=True)
class Setting:
    """One way to run the recipe.

    Attributes:
        name: What it is called in the tables.
        options: Settings of the config, by their places in it as ``--cfg-options`` names them; a dictionary replaces
            the one that is there.
        precision: A key of ``gan_runs.TF32``, or None for the recipe's own.
        stock: Whether mmagic's own recipe is run, with its data set, pipeline, loader and mmengine's loop.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    precision: str | None = "fp32"
    stock: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs a setting."""
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--width", type=int, default=64, help="channels of both networks' base (default: the paper's 64)"
    )
    parser.add_argument("--batch", type=int, default=64, help="real images a discriminator step (default 64)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice)")
    parser.add_argument("--data-root", default="data/cifar10", help="CIFAR-10, in any form that nda_mm.CIFAR10 reads")
    parser.add_argument(
        "--made", type=int, metavar="N", help="N random images instead, as where there is no CIFAR-10 (then 50,000)"
    )
    parser.add_argument("--workers", type=int, default=8, help="loader processes of the stock run (default: its own 8)")


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
