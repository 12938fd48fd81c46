"""Plot the logged values of runs over their steps, one panel for each value, and print the last values side by side.

    python tools/analysis_tools/plot_curves.py work_dirs/nda_biggan_digits
    python tools/analysis_tools/plot_curves.py work_dirs/biggan_digits work_dirs/nda_biggan_digits --out compared.png
    python tools/analysis_tools/plot_curves.py work_dirs/nda_moco_digits --keys "train/loss*" knn/top1

RUN is a work directory. The logs of a resumed run are joined. Training values are called train/... and are means over
the latest steps, as mmengine logs them. All others are evaluations. Their steps are epochs if the run is counted in
epochs. Keys may contain wildcards. To compare recipes over seeds, with intervals, use tools/compare.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from nda_mm.command_line import one_line_errors


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="work directories")
    parser.add_argument("--keys", nargs="+", metavar="KEY", default=["*"], help="values to plot (default: all)")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="output image (default: curves.png)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Plot the values and print the last ones."""
    args = parse_args(arguments)
    from nda_mm.studies.table import draw_curves  # imported after the options are read, since it takes seconds

    print(draw_curves(args.runs, args.keys, args.out))
    print(f"\nPlot written to {args.out}")


if __name__ == "__main__":
    with one_line_errors():
        main()
