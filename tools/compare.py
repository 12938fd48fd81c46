"""Train recipes with the same seeds and budget, and report means, spread and paired differences.

    python tools/compare.py biggan_digits nda_biggan_digits --seeds 0 1 2 --out work_dirs/compare
    python tools/compare.py A.py B.py --seeds 0 1 2 --out D --cfg-options train_cfg.max_iters=1000 --jobs 2
    python tools/compare.py {biggan_cifar10,nda_biggan_cifar10{,_warmup,_leak}} --seeds 0 1 --jobs 8 \\
        --test --out work_dirs/compare_cifar10

The first recipe is the baseline. Finished runs are kept and interrupted runs resumed, so the same command continues.
With a larger train_cfg.max_iters it also continues finished runs. You can add recipes and seeds. Writes results.md
(tables), results.csv (every evaluation of every run in the folder, with its budget) and results.png (metrics over
iterations).

On SIGTERM the running trainings save a checkpoint and stop within a minute, so you can limit the time with
`timeout 8m python tools/compare.py ...` and continue with the same command. With --test the last checkpoint of every
finished run is measured as with tools/test.py. Exit status: 0 if all is done, 1 if a run failed, 3 if runs are
unfinished.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_study_options, one_line_errors, start_command
from nda_mm.utils.files import recipe_path

TRAIN, TEST = (Path(__file__).with_name(name) for name in ("train.py", "test.py"))


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="recipes, the baseline first")
    add_study_options(parser)
    parser.add_argument("--results", type=Path, help="folder for results.*; adds to its results.csv (default: --out)")
    parser.add_argument("--test", action="store_true", help="also measure finished runs with their test_evaluator")
    parser.add_argument("--amp", action="store_true", help="mixed precision, as in tools/train.py")
    parser.add_argument("--allow-different-budgets", action="store_true", help="allow different lengths or batch sizes")
    return parser.parse_args(arguments)


def main() -> int:
    """Train and report, and return the exit status."""
    args = parse_args()
    start_command()
    from nda_mm.studies.comparison import Comparison, NothingToCompareError  # takes seconds to import

    failed, waiting = [], []
    try:
        comparison = Comparison(
            [str(recipe_path(config)) for config in args.configs],
            args.seeds,
            args.out,
            train_command=[sys.executable, str(TRAIN)],
            cfg_options=args.cfg_options,
            train_options=["--amp"] if args.amp else [],
            other_budgets=args.allow_different_budgets,
        )
        # Train and measure what is left.
        failed = comparison.train(args.jobs)
        if args.test:
            failed += comparison.measure([sys.executable, str(TEST)], args.jobs)
        waiting = comparison.unmeasured if args.test else comparison.unfinished
        waiting = [run for run in waiting if run not in failed]
        if waiting:
            print(f"{len(waiting)} of {len(comparison.runs)} runs are to be continued by the same command", flush=True)
        # Report the results so far, even if the comparison is unfinished.
        print(comparison.report(args.metrics, args.results))
    except NothingToCompareError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 3 if waiting and not failed else 1
    print(f"Written to {args.results or args.out}/results.md, results.csv, results.png")
    return 1 if failed else 3 if waiting else 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
