"""Time DPC's training step with negatives against the step without, and its score against a loop over the rows.

    python tools/benchmarks/dpc_step.py             # CPU, one thread, narrow 2D3D-ResNet18, 64x64 frames, batch 4
    python tools/benchmarks/dpc_step.py --check     # exit status 1 if a bar is missed
    python tools/benchmarks/dpc_step.py --device cuda   # full 2D3D-ResNet18, 128x128 frames, batch 32, bfloat16

The steps take turns on one model, so that a busy machine slows all alike. By arithmetic a step with one negative for
each clip encodes 3 of 8 blocks once more: 1.38.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from paired_steps import add_arguments


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--batch", type=int, help="clips (default 4; 32 on a GPU)")
    parser.add_argument("--width", type=int, help="channels of the first stage (default 16; 64 on a GPU, the full net)")
    parser.add_argument("--size", type=int, help="side of the frames in pixels (default 64; 128 on a GPU)")
    return parser.parse_args()


if __name__ == "__main__":
    parse_args()  # answers --help, and refuses, before the imports that take seconds

import torch
from paired_steps import Step, compare_steps, report, seconds, set_defaults
from torch import Tensor

from nda_mm import compat
from nda_mm.losses import dense_contrast
from nda_mm.models.video.dpc import DPC
from nda_mm.negatives import Negative, build_negative

#: The most a step with one negative for each clip may take, in plain steps.
STEP_BAR = 1.6
#: How many times faster than the loop the score must be.
SCORE_BAR = 5.0


@contextmanager
def with_negative(model: DPC, negative: Negative | None, **settings: Any) -> Iterator[None]:
    """The model with another negative, as long as the context lasts."""
    before = {name: getattr(model, name) for name in ("negative", *settings)}
    model.negative = negative
    for name, value in settings.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def measure_steps(args: argparse.Namespace) -> list[dict]:
    """One row for each kind of step."""
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
        return partial(with_negative, model, build_negative(dict(type=kind)), **settings)

    variants = {
        "plain": partial(with_negative, model, None),
        "jigsaw": changed("Jigsaw"),
        "jigsaw, own place": changed("Jigsaw", negative_places="own"),
        "stitch": changed("Stitch"),
        "shuffle_frames": changed("ShuffleFrames"),
        "jigsaw, 2 negatives": changed("Jigsaw", num_negatives=2),
        "plain, score in parts": partial(with_negative, model, None, samples_at_once=1),
    }
    free = ("plain", "jigsaw, 2 negatives", "plain, score in parts")
    bars = {name: None if name in free else STEP_BAR for name in variants}
    return compare_steps(Step(model, loss, args.device, args.amp), variants, bars, args.rounds)


def score_by_loop(prediction: Tensor, target: Tensor, negatives: Tensor) -> Tensor:
    """The loss with negatives, one row at a time: what :func:`nda_mm.losses.dense_contrast` computes at once."""
    total, rows = prediction.new_zeros(()), 0
    batch, blocks, _, height, width = prediction.shape
    columns = target.permute(0, 1, 3, 4, 2).flatten(0, 3)
    for b in range(batch):
        for n in range(blocks):
            made = negatives[b, :, n].permute(0, 2, 3, 1).flatten(0, 2)
            for y in range(height):
                for x in range(width):
                    logits = torch.cat([columns, made]) @ prediction[b, n, :, y, x]
                    total = total + logits.logsumexp(0) - logits[rows]
                    rows += 1
    return total / rows


def measure_score(args: argparse.Namespace) -> dict:
    """Forward and backward of the score at DPC's 3 blocks of 4 x 4 places and 256 channels."""
    torch.manual_seed(0)
    shapes = [(16, 3, 256, 4, 4), (16, 3, 256, 4, 4), (16, 1, 3, 256, 4, 4)]
    parts = [(0.1 * torch.randn(shape, device=args.device)).requires_grad_() for shape in shapes]

    def at_once() -> Tensor:
        return dense_contrast(*parts)["loss"]

    def by_loop() -> Tensor:
        return score_by_loop(*parts)

    if not torch.allclose(at_once(), by_loop(), rtol=1e-5):
        raise RuntimeError("the score and the loop disagree")
    ratios, times = [], []
    for _ in range(max(3, args.rounds // 3)):
        slow = seconds(lambda: by_loop().backward(), args.device)
        quick = min(seconds(lambda: at_once().backward(), args.device) for _ in range(3))
        ratios.append(slow / quick)
        times.append(quick)
    ratio = statistics.median(ratios)
    return dict(
        step="score, times faster",
        milliseconds=round(1e3 * statistics.median(times), 1),
        ratio=round(ratio, 1),
        bar=SCORE_BAR,
        met=ratio >= SCORE_BAR,
    )


def main() -> int:
    """Parse, measure, print; the exit status."""
    args = parse_args()
    small_size, full_size = (dict(batch=4, width=16, size=64, amp=False), dict(batch=32, width=64, size=128, amp=True))
    set_defaults(args, full_size if torch.device(args.device).type == "cuda" else small_size)
    torch.set_num_threads(args.threads)
    torch.backends.cudnn.benchmark = True  # as in the recipes
    compat.apply_patches("mmaction")
    return report([*measure_steps(args), measure_score(args)], args)


if __name__ == "__main__":
    sys.exit(main())
