"""Put data where the recipes look for them, checked.

Whatever you have of CIFAR will do: the official archive, zips of class folders, or nothing (download)::

    python tools/prepare_data.py cifar10 cifar-10-python.tar.gz
    python tools/prepare_data.py cifar10 train.zip test.zip --out data/cifar10
    python tools/prepare_data.py cifar100 --download

The result is read as the training would read it, which verifies every image and caches the decoded class folders.

For GANs of larger images: CelebA's zip and its list of splits, or the folder; STL-10's archive, or nothing (download);
ImageNet's folder, whose images are decoded once, and those that can be read are listed::

    python tools/prepare_data.py celeba img_align_celeba.zip list_eval_partition.txt
    python tools/prepare_data.py stl10 stl10_binary.tar.gz
    python tools/prepare_data.py imagenet /data/imagenet --jobs 16

Image translation: pairs, two images side by side in each file; they are made of Cityscapes as it is published::

    python tools/prepare_data.py facades facades.tar.gz
    python tools/prepare_data.py cityscapes leftImg8bit_trainvaltest.zip gtFine_trainvaltest.zip --jobs 8

Anomaly detection: the OOD data sets of CIFAR-10's recipe, each from its archive or its folder::

    python tools/prepare_data.py svhn test_32x32.mat
    python tools/prepare_data.py tiny_imagenet tiny-imagenet-200.zip
    python tools/prepare_data.py places365 val_256.tar
    python tools/prepare_data.py dtd dtd-r1.0.1.tar.gz
    python tools/prepare_data.py cifar10_c CIFAR-10-C.tar

Detection: BCCD from a zip, each image and box checked, and the scenes of digits (training writes them, too)::

    python tools/prepare_data.py bccd BCCD_Dataset.zip --out data/bccd
    python tools/prepare_data.py digits_scenes --seed 0

Video: the clips of moving digits as files with the lists that mmaction2's VideoDataset reads; the recipes need none,
since they draw the clips in memory::

    python tools/prepare_data.py moving_digits --clips 800 200 --size 64

UCF101 and HMDB51 from the folder where you unpacked their archives, and their splits: every video is opened once, what
cannot be read is reported and left out, and the lists of all three splits go to data/ucf101, with a link to the videos.
Kinetics as mmaction2's own tools lay it out, whose lists are filtered::

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
    # Not before the options are read: it takes seconds.
    from nda_mm.datasets import DatasetNotReadableError

    try:
        run_verb(args)
        return 0
    except (DatasetNotReadableError, ValueError, OSError, ModuleNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
