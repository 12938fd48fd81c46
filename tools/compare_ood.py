"""Compare recipes at anomaly detection, over the seeds that they were trained and tested with.

    python tools/compare_ood.py --runs work_dirs/compare_digits --recipe ood_biggan_digits
    python tools/compare_ood.py --runs work_dirs/compare_cifar10 --recipe ood_biggan_cifar10 --only cifar100
    python tools/compare_ood.py work_dirs/ood/biggan_digits work_dirs/ood/nda_biggan_digits

With --runs, every finished run in a folder of tools/compare.py is tested with the evaluator of --recipe. Results are
written to ood/ in that folder. You can name the recipes to test, the baseline first. Without --runs, give folders of
tests made by tools/test.py with --work-dir RECIPE/seed_N, the baseline first. Prints tables of means, spread and paired
differences.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_cfg_options, one_line_errors, start_command
from nda_mm.utils.files import recipe_path


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="folders of tests; with --runs, names of recipes")
    measures = ("auroc", "aupr_out", "aupr_in", "fpr95")
    parser.add_argument(
        "--measures", nargs="+", choices=measures, default=["auroc"], help="measures to report (default: auroc)"
    )
    parser.add_argument("--out", type=Path, help="also write the tables to this file (with --runs: DIR/ood/ood.md)")
    parser.add_argument("--runs", type=Path, metavar="DIR", help="folder of a comparison whose runs to test")
    parser.add_argument("--recipe", help="with --runs: the recipe whose evaluator tests them")
    parser.add_argument("--only", nargs="+", metavar="SET", help="with --runs: OOD data sets to test (default: all)")
    parser.add_argument("--jobs", type=int, default=1, help="with --runs: tests to run at a time (default: 1)")
    add_cfg_options(parser)
    args = parser.parse_args(arguments)
    if bool(args.runs) != bool(args.recipe) or not (args.runs or args.recipes):
        parser.error("give folders of tests, or --runs and --recipe")
    return args


def main(arguments: Sequence[str] | None = None) -> None:
    """Test the runs if asked to, and print the tables."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.studies.detection import compare_detection, detect_with_runs  # takes seconds to import

    folders = [Path(each) for each in args.recipes]
    if args.runs:
        only = [f"test_evaluator.metrics.0.only={args.only!r}"] if args.only else []
        folders = detect_with_runs(
            args.runs,
            str(recipe_path(args.recipe)),
            args.recipes,
            test_command=[sys.executable, str(Path(__file__).with_name("test.py"))],
            cfg_options=[*only, *args.cfg_options],
            jobs=args.jobs,
        )
    text = compare_detection(folders, args.measures, shared=bool(args.runs))
    out = args.out or (args.runs and args.runs / "ood" / "ood.md")
    print(text)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text)


if __name__ == "__main__":
    with one_line_errors():
        main()
