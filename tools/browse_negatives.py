"""Show real images next to their negatives in one labeled PNG. No GPU needed.

    python tools/browse_negatives.py nda_biggan_cifar10
    python tools/browse_negatives.py --images my_photos --size 64 --out negatives.png
    python tools/browse_negatives.py CONFIG --negative "dict(type='Jigsaw', grid=4)" --negative "dict(type='Cutout')"

The columns are the negatives of the config. With --all, or if the config has none, all registered negatives are shown.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from nda_mm.command_line import add_input_options, one_line_errors, start_command


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_input_options(parser)
    parser.add_argument("--samples", type=int, default=8, help="number of images, one per row (default: 8)")
    parser.add_argument("--out", default="work_dirs/negatives.png", help="PNG file (default: work_dirs/negatives.png)")
    parser.add_argument("--scale", type=int, help="zoom factor (default: images are at least 96 pixels wide)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    start_command()
    # Imported after the options are read, since it takes seconds.
    import torch

    from nda_mm.evaluation.audit_inputs import read_inputs
    from nda_mm.utils.image_grid import save_image_grid, to_uint8

    images, negatives = read_inputs(args, max(3, args.samples))
    # Use a single batch, so that partners come from the images on the sheet.
    x = images.float() / 127.5 - 1
    columns = [images]
    for negative in negatives.values():
        columns.append(to_uint8(negative(x, generator=torch.Generator().manual_seed(args.seed))))
    rows = torch.stack(columns, dim=1).flatten(0, 1)
    headings = ["real", *(label.replace("(", "\n(", 1).replace(", ", ",\n") for label in negatives)]
    scale = args.scale or max(1, -(-96 // images.shape[-1]))
    path = save_image_grid(args.out, rows, len(columns), scale=scale, column_labels=headings, padding=4)
    print(f"{len(images)} images next to {len(negatives)} negatives: {path}")


if __name__ == "__main__":
    with one_line_errors():
        main()
