"""Take the backbone out of a checkpoint and write it as another framework reads it.

    python tools/convert_backbone.py work_dirs/moco_digits/epoch_30.pth digits.pth --to mmdet
    python tools/convert_backbone.py moco_v2_800ep_pretrain.pth.tar r50.pth --to torchvision
    python tools/convert_backbone.py best.pth r50.pth --to mmaction2 --encoder key --check tsn_ucf101

Then, in a config: init_cfg=dict(type='Pretrained', checkpoint='r50.pth'). A detector's shared head takes its stage
from the same file by the same line. Two ways lead to mmaction2: init_cfg reads what --to mmaction2 writes, and
pretrained='r50.pth', which also serves TSM and inflated 3-D networks, what --to torchvision writes.

SRC is a checkpoint of an OpenMMLab model (nda_mm, mmpretrain, mmdet, mmaction2), of facebookresearch/moco or moco-v3,
or a plain backbone such as torchvision's. DPC's goes to nda_mm.ResNet2d3d, by --to mmaction2; nda_mm.DPCEncoder takes
the checkpoint itself. Nothing in it is run. --check builds a config's backbone (or, for example,
torchvision.resnet50), loads the new file into it as training would, and compares all tensors; a file that fails is not
written. Color order, mean and std of the inputs and the blocks' style must be those of the pretraining: no file can
show a mistake in them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import one_line_errors, start_command

HOSTS = ("mmdet", "mmaction2", "mmpretrain", "torchvision")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SRC", type=Path, help="the checkpoint")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write; not SRC")
    parser.add_argument("--to", dest="host", required=True, choices=HOSTS, help="framework whose names the file gets")
    parser.add_argument(
        "--encoder",
        choices=("query", "key"),
        default="query",
        help="the trained network, or its EMA (default: query)",
    )
    parser.add_argument("--check", metavar="CONFIG", help="a config whose backbone must take every tensor")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert and report."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.conversion import convert_backbone  # not before the options are read: it takes seconds

    report = convert_backbone(args.source, args.out, args.host, encoder=args.encoder, config=args.check)
    print(report)


if __name__ == "__main__":
    with one_line_errors():
        main()
