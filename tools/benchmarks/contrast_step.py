"""Time MoCo's training step with negatives, relative to the step without.

    python tools/benchmarks/contrast_step.py                            # CPU, one thread, narrow ResNet-18, batch 64
    python tools/benchmarks/contrast_step.py --check                    # exit status 1 if a bar is missed
    python tools/benchmarks/contrast_step.py --device cuda              # full ResNet-18, batch 256, bfloat16

The steps take turns on one model, so that a busy machine slows them all equally. Each ratio is the median over the
rounds of the time divided by that of the plain step just before. In theory a step with one negative per query takes
five passes of the encoder (query forward, its backward counted twice, keys, negatives) against four without: 1.25.
"""

from __future__ import annotations

import argparse
import sys

from paired_steps import read_step_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    return read_step_arguments(__doc__, width=(16, 64), batch=(64, 256))


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import torch
from mmengine.registry import MODELS, DefaultScope
from paired_steps import Step, attached_in_turn, compare_steps, prepare, report
from torch import nn

from nda_mm.command_line import read_config
from nda_mm.models.contrast import NegativeContrast
from nda_mm.negatives import build_negative

#: Largest allowed time of a step with one negative per query, in plain steps.
BARS = {"cpu": 1.35, "cuda": 1.3}


def build_moco(width: int) -> nn.Module:
    """Build MoCo v2 of configs/mocov2/moco_cifar10.py with a given width."""
    settings = read_config("moco_cifar10").model
    settings.backbone.update(base_channels=width, stem_channels=width)
    settings.neck.update(in_channels=8 * width, hid_channels=8 * width)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(settings).train()


def measure(args: argparse.Namespace) -> list[dict]:
    """Return a row for each variant."""
    torch.manual_seed(0)
    model = build_moco(args.width).to(args.device)
    views = [torch.randn(args.batch, 3, 32, 32, device=args.device) for _ in range(2)]

    def loss() -> torch.Tensor:
        return model(inputs=views, data_samples=None, mode="loss")["loss"]

    def contrast(kind: str, **settings: object) -> NegativeContrast:
        return NegativeContrast(model, build_negative(dict(type=kind)), **settings)  # type: ignore[arg-type]

    variants = {
        "jigsaw": contrast("Jigsaw"),
        "stitch": contrast("Stitch"),
        "cutout": contrast("Cutout"),
        "jigsaw, 2 negatives": contrast("Jigsaw", num_negatives=2),
    }
    bars = dict.fromkeys(("jigsaw", "stitch", "cutout"), BARS[torch.device(args.device).type])
    return compare_steps(Step(model, loss, args.device, args.amp), attached_in_turn(variants), bars, args.rounds)


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    prepare(args)
    return report(measure(args), args)


if __name__ == "__main__":
    sys.exit(main())
