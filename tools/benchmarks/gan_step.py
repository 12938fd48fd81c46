"""Time a discriminator step of the CIFAR-10 BigGAN by memory format and precision, with and without negatives.

    python tools/benchmarks/gan_step.py --check                 # full width, batches of 64: minutes on two CPU cores
    python tools/benchmarks/gan_step.py --width 8 --batch 16    # seconds
    python tools/benchmarks/gan_step.py --device cuda --check
    git clone https://github.com/ermongroup/NDA authors && \\
        python tools/benchmarks/gan_step.py --authors authors --check   # next to the code of the paper's authors

A step generates a batch, scores it with as many real images (and as many jigsaw negatives), and updates the
discriminator. The steps take turns, so that a busy machine slows them all equally. The images are noise, since the time
does not depend on their content. In theory a step with negatives takes 1.40 times as long as a step without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from paired_steps import add_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser, rounds=5, threads=None)
    parser.add_argument(
        "--width", type=int, default=64, help="base channels of both networks (default: 64, as in the paper)"
    )
    parser.add_argument("--batch", type=int, default=64, help="number of real images (default: 64)")
    parser.add_argument("--authors", type=Path, help="folder of https://github.com/ermongroup/NDA")
    parser.add_argument(
        "--keep-memory", action="store_true", help="reuse freed memory in all steps, as tools/train.py does (glibc)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import pandas as pd
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from paired_steps import rated, report, seconds
from torch import Tensor

from nda_mm.command_line import read_config
from nda_mm.engine.launch import to_channels_last
from nda_mm.engine.precision import enable_amp
from nda_mm.functional import jigsaw
from nda_mm.losses import discriminator_loss
from nda_mm.utils.processes import keep_freed_memory

Step = Callable[[], object]
AUTHORS = ("the authors' code", True)
#: For each row: whether to use channels last, whether to use bfloat16, the smallest allowed speed-up over the authors'
#: step, and the largest allowed time of a step with negatives, in steps without.
SETTINGS: dict[str, tuple[bool, bool, float | None, float | None]] = {
    "float32, channels first": (False, False, None, None),
    "float32, channels last": (True, False, 1.6, 1.4),
    "bfloat16, channels last": (True, True, 3.0, 1.4),
}


def real_images(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Return noise in [-1, 1) in place of real images, and labels."""
    images = 2 * torch.rand(args.batch, 3, 32, 32, device=args.device) - 1
    return images, torch.randint(10, (args.batch,), device=args.device)


def our_step(args: argparse.Namespace, recipe: str, channels_last: bool, amp: bool) -> Step:
    """Build the step of one of our recipes."""
    from mmagic.structures import DataSample

    cfg = read_config(recipe)
    for network in ("generator", "discriminator"):
        cfg.model[network].base_channels = args.width
    if amp:
        enable_amp(cfg.optim_wrapper, "bfloat16")
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = MODELS.build(cfg.model).to(args.device).train()
        model.init_weights()
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)["discriminator"]
    if channels_last:
        to_channels_last(model)
    real, label = real_images(args)
    sample = DataSample(gt_img=real)
    sample.set_gt_label(label)

    def step() -> None:
        with optimizer.optim_context(model.discriminator):
            model.train_discriminator({}, sample, optimizer)

    return step


def authors_step(args: argparse.Namespace) -> Step:
    """Build the step of the authors' networks, with the settings of their ``train_C10_cond.sh``.

    Negatives and loss terms are ours, so that only ``BigGAN_new.py`` and its imports are needed. They take no time
    compared with the networks.
    """
    sys.path.insert(0, str(args.authors))
    networks = import_module("BigGAN_new")
    settings = dict(resolution=32, n_classes=10, SN_eps=1e-8, G_attn="0", D_attn="0", G_init="N02", D_init="N02")
    generator = networks.Generator(G_ch=args.width, G_shared=False, **settings).to(args.device)
    discriminator = networks.Discriminator(D_ch=args.width, **settings).to(args.device)
    both = networks.G_D(generator, discriminator, conditional=True)
    real, label = real_images(args)

    def step() -> None:
        noise = torch.randn(args.batch, generator.dim_z, device=args.device)
        drawn = torch.randint(10, (args.batch,), device=args.device)
        discriminator.optim.zero_grad()
        on_fake, on_real, on_negative = both(noise, drawn, real, jigsaw(real, 2), label)
        terms = discriminator_loss(on_real, on_fake, on_negative, fake_weight=0.25)
        torch.stack(list(terms.values())).sum().backward()
        discriminator.optim.step()

    return step


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.keep_memory:  # off by default: it speeds up the authors' step too, but their own program does not do it
        keep_freed_memory()
    torch.manual_seed(0)
    MMLogger.get_instance("gan_step", log_level="WARNING")  # else weight initialization is logged line by line
    steps: dict[tuple[str, bool], Step] = {}
    for name, (channels_last, amp, *_) in SETTINGS.items():
        steps[name, False] = our_step(args, "biggan_cifar10.py", channels_last, amp)
        steps[name, True] = our_step(args, "nda_biggan_cifar10.py", channels_last, amp)
    if args.authors:
        steps[AUTHORS] = authors_step(args)
    for step in steps.values():  # warm up: the first step selects kernels and allocates memory
        step()
    times = pd.DataFrame([{key: seconds(step, args.device) for key, step in steps.items()} for _ in range(args.rounds)])
    return report(rows_of(times), args)


def rows_of(times: pd.DataFrame) -> list[dict]:
    """Return a row for each setting: medians over the rounds, of the times and of the ratios within a round."""
    rows = []
    for name, (*_, least, most) in SETTINGS.items():
        plain, own = times[name, False], times[name, True]
        row = dict(step=name, plain_seconds=round(plain.median(), 3), negatives_seconds=round(own.median(), 3))
        row |= rated(round((own / plain).median(), 2), most)
        if AUTHORS in times:
            as_fast = round((times[AUTHORS] / own).median(), 2)
            row |= dict(authors_to_ours=as_fast, least=least, met=row["met"] and (least is None or as_fast >= least))
        rows.append(row)
    if AUTHORS in times:
        rows.append(dict(step=AUTHORS[0], negatives_seconds=round(times[AUTHORS].median(), 3), met=True))
    return rows


if __name__ == "__main__":
    sys.exit(main())
