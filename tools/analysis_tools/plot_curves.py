"""Draw what runs logged over their steps, one panel for each value, and print the last values side by side.

    python tools/analysis_tools/plot_curves.py work_dirs/nda_biggan_digits
    python tools/analysis_tools/plot_curves.py work_dirs/biggan_digits work_dirs/nda_biggan_digits --out compared.png
    python tools/analysis_tools/plot_curves.py work_dirs/nda_moco_digits --keys "train/loss*" knn/top1

RUN is a work directory; the logs of a resumed run are joined. Values of the training are called train/... and are means
over the latest steps, as mmengine logs them. All others are evaluations; their steps are epochs where a run is counted
in epochs. A key may have wildcards. To compare recipes over seeds, with intervals, use tools/compare.py.
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
    parser.add_argument("--keys", nargs="+", metavar="KEY", default=["*"], help="values to draw (default: all)")
    parser.add_argument("--out", type=Path, default=Path("curves.png"), help="the picture (default: curves.png)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw and print."""
    args = parse_args(arguments)
    from nda_mm.studies.table import draw_curves  # not before the options are read: it takes seconds

    print(draw_curves(args.runs, args.keys, args.out))
    print(f"\nDrawn: {args.out}")


if __name__ == "__main__":
    with one_line_errors():
        main()
