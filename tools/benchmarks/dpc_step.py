"""Time DPC's training step with negatives, relative to the step without.

    python tools/benchmarks/dpc_step.py             # CPU, one thread, narrow 2D3D-ResNet18, 64x64 frames, batch 4
    python tools/benchmarks/dpc_step.py --check     # exit status 1 if a bar is missed
    python tools/benchmarks/dpc_step.py --device cuda   # full 2D3D-ResNet18, 128x128 frames, batch 32, bfloat16

The steps take turns on one model, so that a busy machine slows them all equally. In theory a step with one negative per
clip encodes 3 of 8 blocks once more: 1.38.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from functools import partial
from typing import Any
from unittest import mock

from paired_steps import read_step_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    return read_step_arguments(__doc__, width=(16, 64), batch=(4, 32), size=(64, 128))


if __name__ == "__main__":
    parse_args()  # handle --help and bad options before the slow imports

import torch
from paired_steps import Step, compare_steps, prepare, report
from torch import Tensor

from nda_mm.models.video.dpc import DPC
from nda_mm.negatives import build_negative

#: Largest allowed time of a step with one negative per clip, in plain steps.
STEP_BAR = 1.6


def measure(args: argparse.Namespace) -> list[dict]:
    """Return a row for each kind of step."""
    torch.manual_seed(0)
    model = DPC(
        backbone=dict(type="nda_mm.ResNet2d3d", base_channels=args.width),
        aggregator=dict(type="nda_mm.ConvGRU", in_channels=4 * args.width),
    )
    model = model.to(args.device).train()
    clips = torch.randn(args.batch, 8, 3, 5, args.size, args.size, device=args.device)

    def loss() -> Tensor:
        return model(clips, mode="loss")["loss"]

    def changed(kind: str, **settings: Any) -> partial:
        return partial(mock.patch.multiple, model, negative=build_negative(dict(type=kind)), **settings)

    variants = {
        "plain": nullcontext,
        "jigsaw": changed("Jigsaw"),
        "jigsaw, own place": changed("Jigsaw", negative_places="own"),
        "stitch": changed("Stitch"),
        "shuffle_frames": changed("ShuffleFrames"),
        "jigsaw, 2 negatives": changed("Jigsaw", num_negatives=2),
        "plain, score in parts": partial(mock.patch.multiple, model, samples_at_once=1),
    }
    bars = dict.fromkeys(("jigsaw", "jigsaw, own place", "stitch", "shuffle_frames"), STEP_BAR)
    return compare_steps(Step(model, loss, args.device, args.amp), variants, bars, args.rounds)


def main() -> int:
    """Measure, print the table and return the exit status."""
    args = parse_args()
    prepare(args)
    return report(measure(args), args)


if __name__ == "__main__":
    sys.exit(main())
