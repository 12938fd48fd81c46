"""Train a GAN recipe with each of several transforms, as negative and as positive augmentation, and without them.

    python tools/screen.py nda_biggan_digits --transforms jigsaw stitch mixup cutout --seeds 0 1 2 --out DIR
    python tools/screen.py nda_biggan_digits --sides negative --fake-weights 0.1 0.25 0.5 0.75 --out DIR
    python tools/screen.py CONFIG --transforms "dict(type='Jigsaw', grid=4)" --out DIR --seeds 0

As negative: the discriminator sees transformed real images as fake. As positive: it sees all real images transformed,
as real. The table also has the verdict of tools/audit_negatives.py on each transform. Finished runs are kept and
interrupted runs resumed, so the same command continues, and you can add transforms and seeds. Writes screening.md
(table), screening.csv (values) and screening.png, and the results.* files of tools/compare.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_study_options, one_line_errors, start_command
from nda_mm.utils.files import recipe_path

SIDES = ("negative", "positive")
TRAIN = Path(__file__).with_name("train.py")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG", help="recipe of a GAN of this package")
    parser.add_argument(
        "--transforms", nargs="+", metavar="T", help="names or settings of negatives (default: the recipe's own)"
    )
    parser.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), help="how to use the transforms (default: both)"
    )
    parser.add_argument(
        "--fake-weights", nargs="+", type=float, default=[], help="fake_weight of negative arms (default: the recipe's)"
    )
    parser.add_argument("--reals", type=int, default=4000, help="real images for the audit, at most (default: 4000)")
    add_study_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, report, and return 1 if a run failed."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.studies.screening import Screening  # imported after the options are read, since it takes seconds

    screening = Screening(
        str(recipe_path(args.config)),
        args.transforms,
        args.seeds,
        args.out,
        train_command=[sys.executable, str(TRAIN)],
        sides=args.sides,
        fake_weights=args.fake_weights,
        cfg_options=args.cfg_options,
        audit_images=args.reals,
    )
    failed = screening.train(args.jobs)
    print(screening.report(args.metrics))
    print(f"Written to {args.out}/screening.md, screening.csv, screening.png")
    return 1 if failed else 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
