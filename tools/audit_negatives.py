"""Measure how often a negative is no negative, on your own images; no GPU needed.

    python tools/audit_negatives.py nda_biggan_cifar10
    python tools/audit_negatives.py --images my_textures --size 64 --worst worst.png --out audit.json

The theory of negative augmentation holds only if no negative could be a real image. Per transform the table says

  verdict          safe, doubtful, leaks (some negatives are real images) or in distribution (no difference seen)
  = source         negatives equal to the image they were made of, in % with a 95 % interval
  = other          equal to another real image
  near             within a tenth of the distance between neighboring reals of some real image, in pixels, in features
  AUROC dist.      negatives against held-out reals by the distance to the nearest real, in pixels / in features
  classif.         the same by a small classifier, out of fold: 1 always distinguished, 0.5 never
  pass             negatives the classifier takes for real where it keeps 95 % of the reals

nda_mm/evaluation/audit.py explains the criteria. --fail-on leaks makes the exit status 1 for use in scripts.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nda_mm.command_line import add_input_options, one_line_errors, start_command

if TYPE_CHECKING:
    from nda_mm.evaluation.audit import NegativeAudit, NegativeReport
    from nda_mm.negatives import Negative


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_input_options(parser)
    parser.add_argument("--samples", type=int, default=2000, help="negatives made of each transform; default: 2000")
    parser.add_argument("--reals", type=int, default=10000, help="real images looked at, at most; default: 10000")
    parser.add_argument(
        "--network", metavar="DICT", help="feature network, dict(type=...); default: none, fixed features"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all figures there, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--worst", type=Path, metavar="PNG", help="write the most suspicious negatives there")
    parser.add_argument(
        "--fail-on",
        choices=("doubtful", "leaks", "in distribution"),
        help="exit status 1 if any verdict is this or worse",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    start_command()
    # Not before the options are read: it takes seconds.
    from nda_mm.evaluation.audit import VERDICTS, NegativeAudit, format_reports
    from nda_mm.evaluation.audit_inputs import network_features, parse_settings, read_inputs

    images, negatives = read_inputs(args, args.reals)
    features = network_features(parse_settings(args.network)) if args.network else None
    audit = NegativeAudit(images, samples=args.samples, features=features, seed=args.seed)
    reports = [audit.measure(label, negative) for label, negative in negatives.items()]
    print(f"{len(images)} real images, {audit.count} negatives of each transform\n\n{format_reports(reports)}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        summary = {"reals": len(images), "negatives": audit.count, "reports": [report.as_dict() for report in reports]}
        args.out.write_text(json.dumps(summary, indent=2) + "\n")
    if args.worst:
        draw_worst(args.worst, audit, reports, negatives)
    worst = max(VERDICTS.index(report.verdict) for report in reports)
    return 1 if args.fail_on and worst >= VERDICTS.index(args.fail_on) else 0


def draw_worst(path: Path, audit: NegativeAudit, reports: list[NegativeReport], negatives: dict[str, Negative]) -> None:
    """A sheet of the most suspicious negatives, each between its source and the real image nearest to it."""
    import torch

    from nda_mm.utils.image_grid import save_image_grid

    rows, names = [], []
    for report, negative in zip(reports, negatives.values()):
        made = audit.negatives(negative)[report.offenders]
        rows += [audit.images[report.offenders], made, audit.nearest_real(made)]
        names += [f"{report.name}\nsource", "negative", "nearest real"]
    scale = max(1, -(-64 // audit.images.shape[-1]))
    save_image_grid(path, torch.cat(rows), len(rows[0]), scale=scale, row_labels=names)


if __name__ == "__main__":
    with one_line_errors():
        sys.exit(main())
