"""Generate images with a trained GAN, and write them to single files and to a sheet with a row for each class.

    python tools/sample.py work_dirs/nda_biggan_digits
    python tools/sample.py work_dirs/nda_biggan_digits/iter_2500.pth --num 1000 --out samples
    python tools/sample.py nda_biggan_cifar10 downloaded.pth --classes 3 5 --per-class 20

The checkpoint is a file, or the folder of a run, whose newest checkpoint is used. The config can be left out if it is
next to the checkpoint, as in the folder of a run. By default the EMA of the generator is sampled with its running
statistics. --batch-statistics uses the statistics of each batch instead, as the paper's authors do for evaluation.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_cfg_options, one_line_errors, start_command


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", help="recipe of the model (default: the config next to the checkpoint)")
    parser.add_argument("checkpoint", help="checkpoint of the model, or the folder of its run")
    parser.add_argument("--out", type=Path, default=Path("samples"), help="output folder (default: samples)")
    parser.add_argument("--num", type=int, help="total number of images (default: --per-class for each class)")
    parser.add_argument("--per-class", type=int, default=10, help="number of images per class (default: 10)")
    parser.add_argument("--classes", type=int, nargs="*", help="class indices to generate (default: all)")
    parser.add_argument(
        "--sample-model", choices=("ema", "orig"), default="ema", help="generator to sample (default: ema)"
    )
    parser.add_argument("--batch-statistics", action="store_true", help="normalize with the statistics of each batch")
    parser.add_argument("--batch-size", type=int, default=64, help="images per forward pass (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="seed for the noise (default: 0)")
    parser.add_argument("--scale", type=int, default=2, help="zoom factor of the sheet (default: 2)")
    parser.add_argument("--device", help="device to sample on (default: a GPU if there is one, else the CPU)")
    add_cfg_options(parser)
    return parser.parse_intermixed_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    start_command()
    # Imported after the options are read, since it takes seconds.
    from nda_mm.engine.testing import load_model
    from nda_mm.models.gans.sampling import sample_classes, write_samples

    model = load_model(args.checkpoint, args.config, cfg_options=args.cfg_options, device=args.device)
    images, label = sample_classes(
        model,
        args.per_class,
        args.classes,
        num=args.num,
        seed=args.seed,
        sample_model=args.sample_model,
        use_batch_statistics=args.batch_statistics,
        batch_size=args.batch_size,
    )
    columns = args.per_class if args.num is None else math.ceil(math.sqrt(args.num))
    sheet = write_samples(args.out, images, label, columns=columns, scale=args.scale)
    print(f"{len(images)} images in {args.out}, all on one sheet: {sheet}")


if __name__ == "__main__":
    with one_line_errors():
        main()
