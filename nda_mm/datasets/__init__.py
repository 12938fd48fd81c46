"""Data sets and pipeline transforms, for every host's config by the prefix ``nda_mm.``."""

from ..compat import import_guarded
from .array_dataset import ArrayDataset
from .celeba import CelebA
from .cifar import CIFAR10, CIFAR100, DatasetNotReadableError
from .cifar10_c import CIFAR10C
from .digit_edges import DigitEdges
from .digits import Digits
from .dtd import DTD
from .image_folder import ImageFolder
from .moving_digits import MovingDigits
from .numerosity import Numerosity
from .outlying_digits import OutlyingDigits
from .places365 import Places365
from .stl10 import STL10
from .svhn import SVHN
from .tiny_imagenet import TinyImageNet
from .toy_gaussians import ToyGaussians
from .voc_images import VOCImages

import_guarded("nda_mm.datasets.checked_decord", host="mmaction")
import_guarded("nda_mm.datasets.coco", host="mmdet")
import_guarded("nda_mm.datasets.digits_scenes_dataset", host="mmdet")
import_guarded("nda_mm.datasets.frame_color_jitter", host="mmcv")
import_guarded("nda_mm.datasets.paired_images", host="mmagic")
import_guarded("nda_mm.datasets.random_frame_grey", host="mmcv")
import_guarded("nda_mm.datasets.sample_blocks", host="mmcv")
import_guarded("nda_mm.datasets.transforms", host="mmcv")
import_guarded("nda_mm.datasets.voc", host="mmdet")

__all__ = [
    "CIFAR10",
    "CIFAR10C",
    "CIFAR100",
    "DTD",
    "STL10",
    "SVHN",
    "ArrayDataset",
    "CelebA",
    "DatasetNotReadableError",
    "DigitEdges",
    "Digits",
    "ImageFolder",
    "MovingDigits",
    "Numerosity",
    "OutlyingDigits",
    "Places365",
    "TinyImageNet",
    "ToyGaussians",
    "VOCImages",
]
