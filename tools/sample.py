"""Write images of a trained GAN: a sheet with a row for each class, and single files.

    python tools/sample.py nda_biggan_digits work_dirs/nda_biggan_digits/iter_4000.pth --out samples

By default the moving average of the generator is sampled with its running statistics; ``--batch-statistics`` normalises
by each batch instead, as the paper's authors evaluate.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nda_mm.compat import apply_patches
from nda_mm.utils.command_line import add_cfg_options, one_line_errors, read_settings, say_loading, start_command


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="recipe of the model")
    parser.add_argument("checkpoint", help="checkpoint of the model")
    parser.add_argument("--out", type=Path, default=Path("samples"), help="folder to write into (default: samples)")
    parser.add_argument("--per-class", type=int, default=10, help="images of each class (default: 10)")
    parser.add_argument("--classes", type=int, nargs="*", help="class indices to generate (default: all)")
    parser.add_argument("--sample-model", choices=("ema", "orig"), default="ema", help="default: ema")
    parser.add_argument("--batch-statistics", action="store_true", help="normalise by the batch at hand")
    parser.add_argument("--batch-size", type=int, default=64, help="images to a pass (default: 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--scale", type=int, default=2, help="size of a pixel on the sheet (default: 2)")
    parser.add_argument("--device", default="cpu", help="default: cpu")
    add_cfg_options(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start_command()
    # Not before the options are read: it takes seconds.
    from mmengine import Config
    from mmengine.registry import MODELS, init_default_scope
    from mmengine.runner import CheckpointLoader

    from nda_mm.checkpoints import load_strictly
    from nda_mm.models.gans.sampling import sample_classes, write_samples
    from nda_mm.utils.files import recipe_path

    apply_patches()
    config = Config.fromfile(recipe_path(args.config))
    config.merge_from_dict(read_settings(args.cfg_options))
    scope = config.get("default_scope", "mmagic")
    say_loading(scope)
    init_default_scope(scope)
    model = MODELS.build(config.model).to(args.device).eval()
    load_strictly(
        model,
        CheckpointLoader.load_checkpoint(args.checkpoint, map_location="cpu"),
        source=args.checkpoint,
        target=f"the {type(model).__name__} of {args.config}",
    )
    images, label = sample_classes(
        model,
        args.per_class,
        args.classes,
        seed=args.seed,
        sample_model=args.sample_model,
        use_batch_statistics=args.batch_statistics,
        batch_size=args.batch_size,
    )
    sheet = write_samples(args.out, images, label, columns=args.per_class, scale=args.scale)
    print(f"{len(images)} images in {args.out}, all on one sheet: {sheet}")


if __name__ == "__main__":
    with one_line_errors():
        main()
