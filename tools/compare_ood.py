"""Compare recipes at anomaly detection, over the seeds that each was trained and tested with.

    for seed in 0 1 2; do
        for name in biggan_digits nda_biggan_digits; do
            python tools/test.py configs/ood_$name.py work_dirs/compare_digits/$name/seed_$seed/iter_2500.pth \\
                --work-dir work_dirs/ood/$name/seed_$seed
        done
    done
    python tools/compare_ood.py work_dirs/ood/biggan_digits work_dirs/ood/nda_biggan_digits

The first folder is the baseline. Prints tables of means, spread and paired differences.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nda_mm.evaluation.ood import MEASURES
from nda_mm.studies.detection_report import compare_detection


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, and return 1 if there is nothing to compare.

    Args:
        arguments: Words of the command line. Defaults to None: this process's.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", type=Path, metavar="FOLDER", help="a recipe's seed_N folders")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=["auroc"], help="default: auroc")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    args = parser.parse_args(arguments)
    try:
        text = compare_detection(args.recipes, args.measures)
    except ValueError as error:
        print(f"compare_ood: {error}", file=sys.stderr)
        return 1
    print(text)
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
