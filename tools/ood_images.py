"""Find the anomalies in a folder of images with a GAN that is trained with negatives on a folder of normal images.

    python tools/ood_images.py my/normal my/new --out work_dirs/anomalies
    python tools/ood_images.py my/normal my/new --checkpoint work_dirs/anomalies/training
    python tools/ood_images.py bottle/train/good bottle/test --normal-class good

No labels are needed. A fifth of the normal images is held out from training. An interrupted training is resumed.
Writes to --out:

    scores.csv   file, score (higher is more anomalous), rank, and p_value: the chance that a normal image scores as
                 high, estimated from the held-out images. One normal image in a hundred is expected below 0.01.
    sheet.png    the most anomalous images and the most ordinary ones

If the images are in class folders and one of them contains normal images, name it with --normal-class. The AUROC of
each other class against it is then printed with its interval, and results.csv, roc.png and scores.png are written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nda_mm.command_line import add_cfg_options, one_line_errors, start_command

#: Every n-th normal image is held out.
HELD_OUT = 5


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("normal", help="folder of normal images for training")
    parser.add_argument("images", type=Path, help="folder of images to score")
    parser.add_argument(
        "--out", type=Path, default=Path("work_dirs/ood_images"), help="output folder (default: work_dirs/ood_images)"
    )
    parser.add_argument("--config", default="nda_biggan_images_cpu", help="recipe (default: nda_biggan_images_cpu)")
    parser.add_argument("--checkpoint", help="a file, or the folder of a run: score with it instead of training")
    parser.add_argument("--normal-class", metavar="NAME", help="class folder of IMAGES that contains normal images")
    parser.add_argument("--show", type=int, default=16, help="images of each kind on the sheet (default: 16)")
    parser.add_argument("--amp", action="store_true", help="train in mixed precision")
    parser.add_argument("--seed", type=int, help="seed for the training")
    parser.add_argument("--device", help="device to score on (default: a GPU if there is one, else the CPU)")
    add_cfg_options(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = parse_args(arguments)
    if args.normal_class and not (args.images / args.normal_class).is_dir():
        sys.exit(f"error: --normal-class must be a folder of {args.images}, but got {args.normal_class!r}")
    start_command()
    # Imported after the options are read, since it takes seconds.
    from nda_mm.datasets import ImageFolder
    from nda_mm.engine.testing import load_model
    from nda_mm.evaluation.metrics.anomaly_scores import score_images
    from nda_mm.evaluation.ood_report import draw_ranking, rank_images, report_classes

    # Get the model, the images to score, and the normal images that were held out from training.
    checkpoint = args.checkpoint or train(args)
    model: Any = load_model(checkpoint, cfg_options=args.cfg_options, device=args.device)
    side = model.image_sizes()[0][0]
    judged: Any = ImageFolder(str(args.images), size=side, with_labels=False, cache_dir=False)
    held_out = ImageFolder(args.normal, size=side, with_labels=False, every=HELD_OUT)
    names = [path.relative_to(args.images).as_posix() for path in judged.files]
    scores, normal_scores = (score_images(model, each.images) for each in (judged, held_out))
    # Rank the images.
    table = rank_images(names, scores, normal_scores)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(args.out / "scores.csv", index=False)
    draw_ranking(args.out / "sheet.png", judged.images, table, args.show)
    print(table.head(10).to_string(index=False))
    print(f"{len(table)} images, the most anomalous first: {args.out}/scores.csv and sheet.png")
    # Compute measures if the classes are known.
    if args.normal_class:
        classes = [name.split("/")[0] if "/" in name else "(no folder)" for name in names]
        print(report_classes(args.out, scores, classes, args.normal_class))


def train(args: argparse.Namespace) -> str:
    """Train on the normal images, or resume from the newest checkpoint, and return the folder of the run."""
    from nda_mm.engine import launch

    folder = args.out / "training"
    dataset = "train_dataloader.dataset"
    options = [f"{dataset}.data_root={args.normal}", f"{dataset}.with_labels=False", f"{dataset}.every=-{HELD_OUT}"]
    training = argparse.Namespace(
        config=args.config,
        work_dir=str(folder),
        cfg_options=options + args.cfg_options,
        launcher="none",
        local_rank=0,
        resume="auto",
        amp=args.amp,
        amp_dtype=None,
        seed=args.seed,
    )
    launch.train(launch.prepare_training(training))
    return str(folder)


if __name__ == "__main__":
    with one_line_errors():
        main()
