"""Evaluate a trained model with the metrics of its config.

    python tools/test.py nda_biggan_digits work_dirs/nda_biggan_digits/iter_2500.pth
    tools/dist_test.sh nda_biggan_cifar10 work_dirs/nda_biggan_cifar10/iter_390000.pth 8
    python tools/test.py detection_bccd work_dirs/detection_bccd/epoch_24.pth --show-dir drawn

CONFIG is a file, or the name of a recipe of the installed package.
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
    parser.add_argument("checkpoint", help="the trained weights")
    parser.add_argument("--seed", type=int, help="seed for the random draws of the metrics")
    parser.add_argument("--out", metavar="FILE.pkl", help="write the predictions of all samples to this file")
    parser.add_argument("--show-dir", metavar="DIR", help="write images with the detections drawn in to this folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Test the model and print the metrics.

    Args:
        arguments: Command-line arguments. Defaults to None: those of this process.

    Returns:
        The metrics by name.
    """
    args = parse_args(arguments)
    start_command()
    from nda_mm.engine import launch, testing  # imported after the options are read, since it takes seconds

    runner = launch.build_runner(testing.prepare_test(args))
    metrics = testing.run_test(runner)
    if runner.rank == 0:
        print("\n".join(f"{name}: {value}" for name, value in metrics.items()))
    launch.end_processes()
    return metrics


if __name__ == "__main__":
    with one_line_errors():
        main()
