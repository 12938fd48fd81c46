"""Time MoCo's training step with negatives against the step without.

    python tools/benchmarks/contrast_step.py                            # CPU, one thread, narrow ResNet-18, batch 64
    python tools/benchmarks/contrast_step.py --check                    # exit status 1 if a bar is missed
    python tools/benchmarks/contrast_step.py --device cuda --amp --width 64 --batch 256

The steps take turns on one model, so that a busy machine slows all alike; a figure is the median over the rounds of the
time divided by that of the plain step just before it. By arithmetic a step with one negative for each query is five
passes of the encoder (query forward, its backward counted twice, keys, negatives) against four without: 1.25.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from nda_mm import compat
from nda_mm.models.negative_contrast import NegativeContrast
from nda_mm.negatives import build_negative

#: The most a step with one negative for each query may take, in plain steps.
BARS = {"cpu": 1.35, "cuda": 1.3}


def build_moco(width: int) -> nn.Module:
    """MoCo v2 on CIFAR's sizes, as configs/moco_cifar10.py has it."""
    backbone = dict(type="ResNet_CIFAR", depth=18, base_channels=width, stem_channels=width, out_indices=(3,))
    settings = dict(
        type="MoCo",
        queue_len=4096,
        feat_dim=128,
        momentum=0.01,
        backbone=backbone,
        neck=dict(type="MoCoV2Neck", in_channels=8 * width, hid_channels=8 * width, out_channels=128),
        head=dict(type="ContrastiveHead", loss=dict(type="CrossEntropyLoss"), temperature=0.1),
    )
    compat.apply_mends("mmpretrain")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        return MODELS.build(settings).train()


class Step:
    """One training step of a model on one batch, with a contrast attached or without."""

    def __init__(self, model: nn.Module, views: list[torch.Tensor], amp: bool) -> None:
        self.model, self.views, self.amp = model, views, amp
        self.optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.03, momentum=0.9)
        self.cuda = views[0].is_cuda

    def __call__(self) -> None:
        with torch.autocast(self.views[0].device.type, torch.bfloat16, enabled=self.amp):
            loss = self.model(inputs=self.views, data_samples=None, mode="loss")["loss"]
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def seconds(self) -> float:
        """Of one step; on one CPU thread the time it had the processor, which other processes do not lengthen."""
        now = time.perf_counter if self.cuda or torch.get_num_threads() > 1 else time.process_time
        if self.cuda:
            torch.cuda.synchronize()
        start = now()
        self()
        if self.cuda:
            torch.cuda.synchronize()
        return now() - start


@contextmanager
def attached(contrast: NegativeContrast | None) -> Iterator[None]:
    """With a contrast on its model, or with none."""
    if contrast is not None:
        contrast.attach()
    try:
        yield
    finally:
        if contrast is not None:
            contrast.detach()


def measure(args: argparse.Namespace) -> list[dict]:
    """One row for each variant."""
    torch.manual_seed(0)
    model = build_moco(args.width).to(args.device)
    views = [torch.randn(args.batch, 3, 32, 32, device=args.device) for _ in range(2)]
    step = Step(model, views, args.amp)

    def contrast(kind: str, **settings: object) -> NegativeContrast:
        return NegativeContrast(model, build_negative(dict(type=kind)), **settings)  # type: ignore[arg-type]

    variants: dict[str, NegativeContrast | None] = {
        "plain": None,
        "jigsaw": contrast("Jigsaw"),
        "stitch": contrast("Stitch"),
        "cutout": contrast("Cutout"),
        "jigsaw, joint pass": contrast("Jigsaw", joint_pass=True),
        "jigsaw, 2 negatives": contrast("Jigsaw", num_negatives=2),
    }
    step()
    ratios: dict[str, list[float]] = {name: [] for name in variants}
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(args.rounds):
        for name, variant in variants.items():
            plain = step.seconds()
            with attached(variant):
                own = step.seconds()
            times[name].append(own)
            ratios[name].append(own / plain)
    bar = BARS[torch.device(args.device).type]
    rows = []
    for name in variants:
        ratio = statistics.median(ratios[name])
        limit = None if name == "plain" or "2 negatives" in name else bar
        rows.append(
            dict(
                step=name,
                milliseconds=round(1e3 * statistics.median(times[name]), 1),
                ratio=round(ratio, 3),
                bar=limit,
                met=limit is None or ratio <= limit,
            )
        )
    return rows


def main() -> int:
    """Parse, measure, print; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage (default 16; 64 is full)")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar is missed")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = measure(args)
    print(f"{'step':<22} {'milliseconds':>12} {'ratio':>7} {'bar':>6}")
    for row in rows:
        bar = "" if row["bar"] is None else f"{row['bar']:g}"
        verdict = "" if row["met"] else "  MISSED"
        print(f"{row['step']:<22} {row['milliseconds']:>12} {row['ratio']:>7} {bar:>6}{verdict}")
    if args.json:
        args.json.write_text(
            json.dumps({"torch": torch.__version__, **vars(args), "json": None, "rows": rows}, indent=1)
        )
    return int(args.check and not all(row["met"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
