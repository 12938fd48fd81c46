"""Create ImageNet-100, the 100 classes of the CMC paper, as links to the class folders of ImageNet.

    python tools/make_imagenet100.py /data/imagenet
    python tools/make_imagenet100.py /data/imagenet --out data/imagenet100 --classes mine.txt

The folder of ImageNet must contain train/ and val/, each with one folder of images per class (n01558993, ...). Nothing
is copied or overwritten, so you can repeat the command. Missing classes are listed. The recipes moco_imagenet100 and
linear_imagenet100 read data/imagenet100.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="IMAGENET", help="folder with train/ and val/")
    parser.add_argument(
        "--out", type=Path, default=Path("data/imagenet100"), help="output folder (default: data/imagenet100)"
    )
    parser.add_argument("--classes", type=Path, help="file with class folders, one per line (default: CMC's 100)")
    return parser.parse_args(arguments)


def main() -> int:
    """Create the links, and return 1 on an error."""
    args = parse_args()
    # Imported after the options are read, since it takes seconds.
    from nda_mm.datasets.images.imagenet import imagenet100_classes, link_classes

    try:
        classes = tuple(args.classes.read_text().split()) if args.classes else imagenet100_classes()
        links = link_classes(args.source, args.out, classes)
    except (OSError, ValueError) as error:
        print(f"make_imagenet100: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: train and val of {len(classes)} classes, {links} links")
    return 0


if __name__ == "__main__":
    sys.exit(main())
