"""Pretrain recipes, give their backbones to downstream recipes, and report what each is worth there.

    python tools/transfer.py --pretrain moco_digits nda_moco_digits \\
        --downstream linear_digits detection_digits_scenes \\
        --seeds 0 1 2 --scratch --out work_dirs/transfer_digits

The first pretraining recipe is the plain one. --scratch adds an arm without pretraining: detectors are trained from
scratch, linear probes judge an untrained network. Finished runs are kept and cut off ones resumed, so the same command
continues; pretrainings that tools/compare.py has put into OUT/pretrain count. Writes results.md and results.csv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import add_cfg_options, add_study_options, one_line_errors, start_command
from nda_mm.utils.files import recipe_path

TRAIN = Path(__file__).with_name("train.py")


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrain", nargs="+", required=True, metavar="CONFIG", help="recipes, the plain one first")
    parser.add_argument("--downstream", nargs="+", required=True, metavar="CONFIG", help="what the backbones are for")
    parser.add_argument("--scratch", action="store_true", help="add an arm without pretraining")
    add_study_options(parser)
    add_cfg_options(parser, "--pretrain-options", "of the pretrainings alone")
    add_cfg_options(parser, "--downstream-options", "of the downstream recipes alone")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, report, and return 1 if a run failed."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.studies.transfer import TransferStudy  # not before the options are read: it takes seconds

    study = TransferStudy(
        [str(recipe_path(config)) for config in args.pretrain],
        [str(recipe_path(config)) for config in args.downstream],
        args.seeds,
        args.out,
        train_command=[sys.executable, str(TRAIN)],
        scratch=args.scratch,
        pretraining_options=args.cfg_options + args.pretrain_options,
        downstream_options=args.cfg_options + args.downstream_options,
    )
    failures = study.train(args.jobs)
    print(study.report(args.metrics))
    print(f"Written to {args.out}/results.md, results.csv")
    return 1 if failures else 0


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
