"""Runs of the CIFAR-10 BigGAN for the benchmarks: one setting, with or without negatives, as mmengine's Runner.

What is timed is the training as a user gets it: the Runner that :mod:`nda_mm.engine.launch` builds from a recipe, its
loop and its hooks. Left out are validation and checkpoints, which a schedule has rarely and whose cost is the disk's.
The moving average starts at once, since it runs in all but the first hundredth of the schedule.
"""

from __future__ import annotations

import argparse
import functools
import itertools
from argparse import Namespace
from operator import getitem
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gan_ladder import DISCRIMINATOR_STEPS, SCHEDULE, Setting
from mmengine.runner import Runner
from mmengine.utils import get_installed_path

from nda_mm import compat
from nda_mm.datasets.images.array_dataset import ArrayDataset
from nda_mm.datasets.images.cifar import CIFAR10, DatasetNotReadableError
from nda_mm.engine import launch
from nda_mm.engine.bf16_optim_wrapper import BF16OptimWrapper
from nda_mm.registry import DATASETS

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STOCK = "biggan/biggan_2xb25-500kiters_cifar10-32x32.py"
JIGSAW = {"model.negative.type": "Jigsaw", "model.negative.grid": 2, "model.fake_weight": 0.25}
#: What float32 arithmetic is done in, by matrix multiplications and by cuDNN's convolutions. torch's own default lets
#: the convolutions use TF32; 'fp32' here means float32 throughout.
TF32 = {"fp32": (False, False), "torch's default": (False, True), "tf32": (True, True), "bf16": (True, True)}

_RUNS = itertools.count()


@DATASETS.register_module()
class MadeCIFAR10(ArrayDataset):
    """Images and labels drawn at random, in the shape of CIFAR-10: what a run costs does not depend on what they show.

    Args:
        length: How many. Default 50,000.
        kwargs: As of :class:`nda_mm.datasets.images.array_dataset.ArrayDataset`.
    """

    METAINFO: dict[str, tuple[str, ...]] = dict(CIFAR10.METAINFO)

    def __init__(self, length: int = 50_000, **kwargs: Any) -> None:
        self.length = length
        super().__init__(**kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Draw them, always alike."""
        draw = np.random.default_rng(0)
        return draw.integers(0, 256, (self.length, 32, 32, 3), dtype=np.uint8), draw.integers(0, 10, self.length)


def choose_device(args: argparse.Namespace) -> None:
    """See that mmengine, which takes a GPU wherever there is one, takes what was asked for.

    Raises:
        SystemExit: If it would not.
    """
    cuda = torch.cuda.is_available()
    if args.device == "cpu" and cuda:
        raise SystemExit(
            "--device cpu: mmengine would take the GPU; hide it by CUDA_VISIBLE_DEVICES= before the command."
        )
    if args.device == "cuda" and not cuda:
        raise SystemExit("--device cuda: torch sees no GPU here.")
    if args.threads:
        torch.set_num_threads(args.threads)


def choose_data(args: argparse.Namespace) -> dict[str, Any]:
    """CIFAR-10 where it can be read, else images made in its shape; a config of a data set."""
    made = dict(type="nda_mm.MadeCIFAR10", length=args.made or 50_000)
    if args.made:
        return made
    real = dict(type="nda_mm.CIFAR10", data_root=args.data_root, split="train")
    try:
        DATASETS.build(real)
    except DatasetNotReadableError:
        return made
    return real


def describe_data(data: dict[str, Any]) -> str:
    """For the head of a report."""
    if data["type"] == "nda_mm.CIFAR10":
        return "CIFAR-10, 50,000 training images"
    return f"{data['length']:,} random images in the shape of CIFAR-10"


def set_precision(precision: str) -> None:
    """Set what float32 arithmetic may be done in, for the whole process."""
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = TF32[precision]


def build(
    setting: Setting, args: argparse.Namespace, data: dict[str, Any], work_dir: Path, *, negatives: bool
) -> Runner:
    """The Runner of a setting, ready to train.

    Args:
        setting: The setting.
        args: Holds ``width``, ``batch`` and ``workers``.
        data: From :func:`choose_data`.
        work_dir: Where its logs go.
        negatives: With jigsaw negatives as the recipe has them, or without any.
    """
    set_precision(setting.precision or "torch's default")
    compat.apply_mends()
    options = {
        "train_dataloader.batch_size": args.batch,
        "model.generator.base_channels": args.width,
        "model.discriminator.base_channels": args.width,
        "model.ema_config.start_iter": 0,
        "train_cfg.max_iters": SCHEDULE * DISCRIMINATOR_STEPS,
        **{f"{stage}_{what}": None for stage in ("val", "test") for what in ("cfg", "dataloader", "evaluator")},
        "log_level": "WARNING",
    }
    if setting.stock:
        config = Path(get_installed_path("mmagic")) / ".mim" / "configs" / STOCK
        options |= _stock_options(data, args.workers, negatives)
    else:
        config = CONFIGS / ("nda_biggan_cifar10.py" if negatives else "biggan_cifar10.py")
        read = dict(data, image_key="gt", pipeline=[dict(type="PackInputs")], _delete_=True)
        options["train_dataloader.dataset"] = read
    bf16 = setting.precision == "bf16"
    cfg = launch.prepare_training(
        Namespace(
            config=str(config),
            work_dir=str(work_dir),
            cfg_options=options,
            launcher="none",
            local_rank=0,
            seed=0,
            amp=bf16,
            amp_dtype="bfloat16" if bf16 else None,
            resume=None,
        )
    )
    if setting.precision not in (None, "bf16"):
        cfg.optim_wrapper.generator.type = cfg.optim_wrapper.discriminator.type = "OptimWrapper"
    for place, value in setting.options.items():
        *parents, last = place.split(".")
        functools.reduce(getitem, parents, cfg)[last] = value
    cfg.default_hooks.checkpoint = None
    cfg.experiment_name = f"benchmark_{next(_RUNS)}"  # mmengine shares message hubs between runs of one name
    runner = launch.build_runner(cfg)
    if setting.precision:
        set_precision(setting.precision)  # once more, should the recipe have set its own
    return runner


def _stock_options(data: dict[str, Any], workers: int, negatives: bool) -> dict[str, Any]:
    """mmagic's recipe on the same images, read one by one through its own pipeline."""
    import stock_cifar10  # noqa: F401  (registers the data set; only here, for it imports mmagic)

    return {
        "train_dataloader.num_workers": workers,
        "train_dataloader.persistent_workers": workers > 0,
        "train_dataloader.dataset": dict(
            type="HeldCIFAR10", source=data, pipeline=[dict(type="PackInputs")], _delete_=True
        ),
        **({"model.type": "nda_mm.NDABigGAN", **JIGSAW} if negatives else {}),
    }


def precision_of(runner: Runner) -> str:
    """What a run was done in: its optimizers' autocast, else what float32 was allowed to be."""
    if any(isinstance(wrapper, BF16OptimWrapper) for wrapper in runner.optim_wrapper.values()):
        return "bf16"
    products, convolutions = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    return "tf32" if products else "torch's default" if convolutions else "fp32"
