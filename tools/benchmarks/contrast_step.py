"""Time MoCo's training step with negatives against the step without.

    python tools/benchmarks/contrast_step.py                            # CPU, one thread, narrow ResNet-18, batch 64
    python tools/benchmarks/contrast_step.py --check                    # exit status 1 if a bar is missed
    python tools/benchmarks/contrast_step.py --device cuda              # full ResNet-18, batch 256, bfloat16

The steps take turns on one model, so that a busy machine slows all alike; a figure is the median over the rounds of the
time divided by that of the plain step just before it. By arithmetic a step with one negative for each query is five
passes of the encoder (query forward, its backward counted twice, keys, negatives) against four without: 1.25.
"""

from __future__ import annotations

import argparse
import sys

from paired_steps import read_step_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    return read_step_arguments(__doc__, width=(16, 64), batch=(64, 256))


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import torch
from mmengine.registry import MODELS, DefaultScope
from paired_steps import Step, attached_in_turn, compare_steps, prepare, report
from torch import nn

from nda_mm.command_line import read_config
from nda_mm.models.contrast import NegativeContrast
from nda_mm.negatives import build_negative

#: The most a step with one negative for each query may take, in plain steps.
BARS = {"cpu": 1.35, "cuda": 1.3}


def build_moco(width: int) -> nn.Module:
    """MoCo v2 as configs/mocov2/moco_cifar10.py has it, at a width."""
    settings = read_config("moco_cifar10").model
    settings.backbone.update(base_channels=width, stem_channels=width)
    settings.neck.update(in_channels=8 * width, hid_channels=8 * width)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(settings).train()


def measure(args: argparse.Namespace) -> list[dict]:
    """One row for each variant."""
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
    """Parse, measure, print; the exit status."""
    args = parse_args()
    prepare(args)
    return report(measure(args), args)


if __name__ == "__main__":
    sys.exit(main())
