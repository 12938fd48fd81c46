"""Time a classifier's training step with outlier exposure, relative to the step without.

    python tools/benchmarks/exposure_step.py                    # CPU, one thread, narrow ResNet-18, batch 64
    python tools/benchmarks/exposure_step.py --check            # exit status 1 if a bar is missed
    python tools/benchmarks/exposure_step.py --device cuda      # full ResNet-18, batch 128, bfloat16

The steps take turns on one model, so that a busy machine slows them all equally. Each ratio is the median over the
rounds of the time divided by that of the plain step just before. By the number of images, a step with one negative per
image should take 2 plain steps, and a step with negatives of half of the batch 1.5.
"""

from __future__ import annotations

import argparse
import sys

from paired_steps import read_step_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    return read_step_arguments(__doc__, width=(16, 64), batch=(64, 128))


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import torch
from mmengine.registry import MODELS, DefaultScope
from paired_steps import Step, attached_in_turn, compare_steps, prepare, report
from torch import nn

from nda_mm.command_line import read_config
from nda_mm.models.outlier_exposure import OutlierExposure
from nda_mm.negatives import build_negative

#: Largest allowed time of a step, in plain steps.
BARS = {"jigsaw": 2.1, "stitch": 2.1, "jigsaw, half of the batch": 1.55}


def build_classifier(width: int) -> nn.Module:
    """Build the network of configs/classifiers/classifier_cifar10.py with a given width."""
    settings = read_config("classifier_cifar10").model
    settings.backbone.update(base_channels=width, stem_channels=width)
    settings.head.in_channels = 8 * width
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(settings).train()


def measure(args: argparse.Namespace) -> list[dict]:
    """Return a row for each variant."""
    from mmpretrain.structures import DataSample  # after the patches

    torch.manual_seed(0)
    model = build_classifier(args.width).to(args.device)
    images = torch.randn(args.batch, 3, 32, 32, device=args.device)
    samples = [DataSample().set_gt_label(label % 10).to(args.device) for label in range(args.batch)]

    def loss() -> torch.Tensor:
        losses = model(inputs=images, data_samples=samples, mode="loss")
        return torch.stack([value for name, value in losses.items() if "loss" in name]).sum()

    def exposure(kind: str, share: float = 1.0) -> OutlierExposure:
        return OutlierExposure(model, build_negative(dict(type=kind)), share=share)

    variants = {
        "jigsaw": exposure("Jigsaw"),
        "stitch": exposure("Stitch"),
        "jigsaw, half of the batch": exposure("Jigsaw", share=0.5),
    }
    return compare_steps(Step(model, loss, args.device, args.amp), attached_in_turn(variants), BARS, args.rounds)


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    prepare(args)
    return report(measure(args), args)


if __name__ == "__main__":
    sys.exit(main())
