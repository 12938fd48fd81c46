"""Convert networks of the paper authors' BigGAN code to a checkpoint of ours.

    python tools/import_official.py nda_biggan_cifar10 OUT --ema G_ema_best0.pth
    python tools/import_official.py nda_biggan_cifar10_uncond OUT --generator G.pth --ema G_ema.pth \
        --discriminator D.pth

Then: python tools/sample.py nda_biggan_cifar10 OUT

In eval mode, the generator's images and the discriminator's logits are those of the authors' code. Width, number of
classes and length of the noise come from the files. If they differ from the recipe's, the --cfg-options to give to
sample.py, test.py and train.py are printed. The authors' networks use RGB, but the recipe decides the channel order:
with model.data_preprocessor.output_channel_order=BGR, red and blue are swapped in the layers that touch images, and
samples keep their colors. No code in the files is run, and errors name the tensors that don't fit. Continue the
training with --cfg-options load_from=OUT; the state of the authors' optimizers is not imported.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_cfg_options, one_line_errors, read_settings, start_command


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="recipe of a BigGAN for 32x32 images")
    parser.add_argument("out", metavar="OUT", type=Path, help="the checkpoint to write")
    parser.add_argument("--generator", metavar="FILE", type=Path, help="the authors' G*.pth")
    parser.add_argument("--ema", metavar="FILE", type=Path, help="the authors' G_ema*.pth")
    parser.add_argument("--discriminator", metavar="FILE", type=Path, help="the authors' D*.pth")
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Import and report."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.conversion import import_official  # only after the options are read, because it takes seconds

    report = import_official(
        args.config,
        args.out,
        generator=args.generator,
        ema=args.ema,
        discriminator=args.discriminator,
        options=read_settings(args.cfg_options) or None,
    )
    print(report)


if __name__ == "__main__":
    with one_line_errors():
        main()
