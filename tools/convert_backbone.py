"""Extract the backbone of a checkpoint, and write it for another framework.

    python tools/convert_backbone.py work_dirs/moco_digits/epoch_30.pth digits.pth --to mmdet
    python tools/convert_backbone.py moco_v2_800ep_pretrain.pth.tar r50.pth --to torchvision
    python tools/convert_backbone.py best.pth r50.pth --to mmaction2 --encoder key --check tsn_ucf101

Then, in a config: init_cfg=dict(type='Pretrained', checkpoint='r50.pth'). A detector's shared head loads its stage
from the same file with the same line. mmaction2 can load a file in two ways: use --to mmaction2 for init_cfg, and
--to torchvision for pretrained='r50.pth', which also supports TSM and inflated 3-D networks.

SRC is a checkpoint of an OpenMMLab model (nda_mm, mmpretrain, mmdet, mmaction2), of facebookresearch/moco or moco-v3,
or a plain backbone such as torchvision's. Convert DPC's backbone with --to mmaction2 for nda_mm.ResNet2d3d;
nda_mm.DPCEncoder loads the checkpoint itself. No code in SRC is run. --check builds a config's backbone (or, for
example, torchvision.resnet50), loads the new file into it as in training, and compares all tensors. A file that fails
is not written. Color order, mean and std of the inputs and the style of the blocks must be those of the pretraining:
the file cannot show a mistake in them.
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
    parser.add_argument("source", metavar="SRC", type=Path, help="the checkpoint to convert")
    parser.add_argument("out", metavar="OUT", type=Path, help="the file to write; must not be SRC")
    parser.add_argument("--to", dest="host", required=True, choices=HOSTS, help="framework to convert to")
    parser.add_argument(
        "--encoder",
        choices=("query", "key"),
        default="query",
        help="the trained network (query) or its EMA (key) (default: query)",
    )
    parser.add_argument("--check", metavar="CONFIG", help="a config whose backbone must load every tensor")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert and report."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.conversion import convert_backbone  # only after the options are read, because it takes seconds

    report = convert_backbone(args.source, args.out, args.host, encoder=args.encoder, config=args.check)
    print(report)


if __name__ == "__main__":
    with one_line_errors():
        main()
