"""Put data where the recipes look for them, checked.

Whatever you have of CIFAR will do: the official archive, zips of class folders, or nothing (download)::

    python tools/prepare_data.py cifar10 cifar-10-python.tar.gz
    python tools/prepare_data.py cifar10 train.zip test.zip --out data/cifar10
    python tools/prepare_data.py cifar100 --download

The result is read as the training would read it, which verifies every image and caches the decoded class folders.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

from nda_mm.datasets import CIFAR10, CIFAR100, DatasetNotReadableError
from nda_mm.datasets.unpacking import SPLITS, unpack_class_folders


def prepare_cifar(args: argparse.Namespace) -> None:
    """Unpack or copy the sources, then load what is there."""
    out = Path(args.out or f"data/{args.verb}")
    for source in args.sources:
        if source.name.endswith((".tar.gz", ".tgz")):
            out.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, out / args.dataset.archive.filename)
            print(f"{source}: copied to {out}")
        else:
            started = time.perf_counter()
            counts = unpack_class_folders(source, out, args.split)
            print(f"{source}: {counts} images unpacked to {out} in {time.perf_counter() - started:.1f} s")
    only = [args.split] if args.split else [split for split in SPLITS if (out / split).is_dir()] or SPLITS
    for split in only:
        started = time.perf_counter()
        dataset = args.dataset(str(out), split=split, download=args.download, allow_partial=args.allow_partial)
        seconds = time.perf_counter() - started
        print(f"{out}, {split}: {len(dataset)} images of {len(dataset.CLASSES)} classes, loaded in {seconds:.1f} s")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, dataset in {"cifar10": CIFAR10, "cifar100": CIFAR100}.items():
        sub = verbs.add_parser(verb, help=f"{dataset.title} from its archive, zips of class folders, or the internet")
        sub.add_argument("sources", nargs="*", type=Path, help="official .tar.gz, or zips of [SPLIT/]CLASS/*.png")
        sub.add_argument("--out", help=f"where the recipes look for it; default: data/{verb}")
        sub.add_argument("--split", choices=SPLITS, help="what a zip without a split level holds")
        sub.add_argument("--download", action="store_true", help="fetch the official archive if nothing is there")
        sub.add_argument("--allow-partial", action="store_true", help="accept other than the official number of images")
        sub.set_defaults(run=prepare_cifar, dataset=dataset)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    try:
        args.run(args)
    except (DatasetNotReadableError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
