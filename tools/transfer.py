"""Pretrain with several recipes, train downstream recipes on the backbones, and report the downstream results.

    python tools/transfer.py --pretrain moco_digits nda_moco_digits \\
        --downstream linear_digits detection_digits_scenes \\
        --seeds 0 1 2 --scratch --out work_dirs/transfer_digits

The first pretraining recipe is the plain one. --scratch adds an arm without pretraining: detectors are trained from
scratch, and linear probes evaluate an untrained network. Finished runs are kept and interrupted runs resumed, so the
same command continues. Pretrainings that tools/compare.py has written to OUT/pretrain are used. Writes results.md and
results.csv.
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
    parser.add_argument(
        "--downstream", nargs="+", required=True, metavar="CONFIG", help="recipes to train on the backbones"
    )
    parser.add_argument("--scratch", action="store_true", help="add an arm without pretraining")
    add_study_options(parser)
    add_cfg_options(parser, "--pretrain-options", "in pretraining recipes only")
    add_cfg_options(parser, "--downstream-options", "in downstream recipes only")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, report, and return 1 if a run failed."""
    args = parse_args(arguments)
    start_command()
    from nda_mm.studies.transfer import TransferStudy  # imported after the options are read, since it takes seconds

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
