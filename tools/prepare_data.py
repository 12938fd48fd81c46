"""Check data sets, and put them where the recipes read them.

CIFAR, from the official archive, zips of class folders, or a download::

    python tools/prepare_data.py cifar10 cifar-10-python.tar.gz
    python tools/prepare_data.py cifar10 train.zip test.zip --out data/cifar10
    python tools/prepare_data.py cifar100 --download

The result is then read as in training, which verifies every image and caches the decoded class folders.

For GANs of larger images: CelebA from its zip and list of splits, or from a folder; STL-10 from its archive or a
download; ImageNet from its folder, where all images are decoded once and the readable ones are listed::

    python tools/prepare_data.py celeba img_align_celeba.zip list_eval_partition.txt
    python tools/prepare_data.py stl10 stl10_binary.tar.gz
    python tools/prepare_data.py imagenet /data/imagenet --jobs 16

Image translation: pairs of images, side by side in one file. For Cityscapes, they can be made from its own archives::

    python tools/prepare_data.py facades facades.tar.gz
    python tools/prepare_data.py cityscapes leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip --jobs 8

Anomaly detection: the OOD data sets of CIFAR-10's recipe, each from its archive or its folder::

    python tools/prepare_data.py svhn test_32x32.mat
    python tools/prepare_data.py tiny_imagenet tiny-imagenet-200.zip
    python tools/prepare_data.py places365 val_256.tar
    python tools/prepare_data.py dtd dtd-r1.0.1.tar.gz
    python tools/prepare_data.py cifar10_c CIFAR-10-C.tar

Detection: BCCD from a zip, with every image and box checked, and scenes of digits (which training also writes)::

    python tools/prepare_data.py bccd BCCD_Dataset.zip --out data/bccd
    python tools/prepare_data.py digits_scenes --seed 0

Video: clips of moving digits as files, with the lists that mmaction2's VideoDataset reads. The recipes do not need
them, since they draw the clips in memory::

    python tools/prepare_data.py moving_digits --clips 800 200 --size 64

UCF101 and HMDB51 from the folder where you unpacked their archives and splits: every video is opened once, unreadable
ones are reported and left out, and the lists of all three splits go to data/ucf101 or data/hmdb51, with a link to the
videos. For Kinetics in the layout of mmaction2's own tools, the lists are filtered::

    python tools/prepare_data.py ucf101 /data/UCF101 --jobs 8
    python tools/prepare_data.py hmdb51 /data/HMDB51 --min-frames 118
    python tools/prepare_data.py video_list data/kinetics400/kinetics400_train_list_videos.txt \
        data/kinetics400/videos_train --min-frames 118 --jobs 8
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from nda_mm.command_line import start_command
from nda_mm.preparation.verbs import add_verbs, run_verb


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_verbs(parser.add_subparsers(dest="verb", required=True))
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_args(arguments)
    start_command()
    # Imported after the options are parsed, because it takes seconds.
    from nda_mm.datasets import DatasetNotReadableError

    try:
        run_verb(args)
        return 0
    except (DatasetNotReadableError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
