"""Measure on your own images how often a negative is not a negative. No GPU needed.

    python tools/audit_negatives.py nda_biggan_cifar10
    python tools/audit_negatives.py --images my_textures --size 64 --worst worst.png --out audit.json

The theory of negative augmentation holds only if no negative could be a real image. The columns of the table are:

  verdict          safe, doubtful, leaks (some negatives are real images) or in distribution (no difference found)
  = source         negatives equal to the image they were made from, in % with a 95 % interval
  = other          negatives equal to another real image
  near             negatives closer to a real image than a tenth of the distance between neighboring real images, in
                   pixels, in features
  AUROC dist.      negatives against held-out real images, by distance to the nearest real, in pixels / in features
  classif.         the same with a small classifier, out of fold: 1 always distinguished, 0.5 never
  pass             negatives that the classifier accepts as real if it accepts 95 % of the real images

nda_mm/evaluation/audit.py explains the criteria. For scripts, --fail-on leaks sets the exit status to 1.
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
    parser.add_argument("--samples", type=int, default=2000, help="negatives per transform (default: 2000)")
    parser.add_argument("--reals", type=int, default=10000, help="largest number of real images (default: 10000)")
    parser.add_argument(
        "--network", metavar="DICT", help="feature network, dict(type=...) (default: none, fixed features)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all results to this file, as JSON")
    parser.add_argument("--json", dest="out", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.add_argument("--worst", type=Path, metavar="PNG", help="write the most suspicious negatives to this file")
    parser.add_argument(
        "--fail-on",
        choices=("doubtful", "leaks", "in distribution"),
        help="exit status 1 if any verdict is this or worse",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    start_command()
    # Imported after the options are read, since it takes seconds.
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
    """Draw the most suspicious negatives, each between its source and the nearest real image."""
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
