"""Train recipes over the same seeds and budget and report means, spread and paired differences.

    python tools/compare.py configs/biggan_digits.py configs/nda_biggan_digits.py --seeds 0 1 2 --out work_dirs/compare
    python tools/compare.py A.py B.py --seeds 0 1 2 --out D --cfg-options train_cfg.max_iters=1000 --jobs 2

The first recipe is the baseline. Finished runs are kept and cut off ones resumed, so the same command continues. Writes
results.md (table), results.csv (every evaluation of every run) and results.png (metrics over the iterations).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from nda_mm.compat.external_configs import recipe_path
from nda_mm.studies.comparison import Comparison

TRAIN = Path(__file__).with_name("train.py")


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="recipes, the baseline first")
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=[0, 1, 2], help="seeds of every recipe (default: 0 1 2)"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for runs and results")
    parser.add_argument("--metrics", nargs="+", help="metrics to report (default: all that every run logs)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="K=V", help="overrides for every recipe")
    parser.add_argument("--allow-different-budgets", action="store_true", help="compare recipes of different length")
    return parser.parse_args()


def main() -> int:
    """Train, report, and return 1 if a run failed."""
    args = parse_args()
    try:
        comparison = Comparison(
            [config if Path(config).is_file() else str(recipe_path(config)) for config in args.configs],
            args.seeds,
            args.out,
            train_command=[sys.executable, str(TRAIN)],
            cfg_options=args.cfg_options,
            other_budgets=args.allow_different_budgets,
        )
        failed = comparison.train(args.jobs)
        print(comparison.report(args.metrics))
    except (FileNotFoundError, ValueError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1
    print(f"Written to {args.out}/results.md, results.csv, results.png")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
