"""Train a model from a config.

    python tools/train.py nda_biggan_digits
    python tools/train.py nda_biggan_cifar10 --work-dir runs/first --seed 1 --amp
    python tools/train.py nda_biggan_digits --resume                  # from the newest good checkpoint
    python tools/train.py nda_biggan_digits --dry-run                 # print what would be done
    tools/dist_train.sh nda_biggan_cifar10 8                          # several processes

--cfg-options val_cfg=None trains without validation, and so without the classifier that some metrics train first.

CONFIG is a file, or the name of a recipe of the installed package. On SIGTERM a run that is counted in iterations saves
a checkpoint after the current iteration and ends with status 143. A run that is counted in epochs ends at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nda_mm.command_line import add_common_options, one_line_errors, start_command


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line.

    Args:
        arguments: Command-line arguments. Defaults to None: those of this process.

    Returns:
        The options.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CKPT",
        help="resume from CKPT, or from the newest good checkpoint of the work dir if CKPT is not given",
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision for every optimizer of the config")
    parser.add_argument(
        "--amp-dtype",
        choices=("bfloat16", "float16"),
        help="precision of --amp; implies --amp (default: bfloat16 if the hardware supports it, else float16)",
    )
    parser.add_argument("--seed", type=int, help="seed for all random numbers; each rank derives its own from it")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the config, the environment and the starting point, then exit"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, or print what would be done.

    Args:
        arguments: Command-line arguments. Defaults to None: those of this process.
    """
    args = parse_args(arguments)
    start_command()
    from nda_mm.engine import launch, run_report  # imported after the options are read, since it takes seconds

    cfg = launch.prepare_training(args)
    if args.dry_run:
        print(run_report.dry_run_report(cfg))
    else:
        launch.train(cfg)


if __name__ == "__main__":
    with one_line_errors():
        main()
