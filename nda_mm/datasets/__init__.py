"""Data sets and pipeline transforms, for every host's config by the prefix ``nda_mm.``.

``images``, ``boxes`` around objects and ``videos`` are read from the folders of a user, by the means of ``files``;
``embedded`` data sets need no download.
"""

from ..compat import import_guarded
from .boxes.voc_images import VOCImages
from .embedded.digit_edges import DigitEdges
from .embedded.digits import Digits
from .embedded.moving_digits import MovingDigits
from .embedded.numerosity import Numerosity
from .embedded.outlying_digits import OutlyingDigits
from .embedded.toy_gaussians import ToyGaussians
from .images.array_dataset import ArrayDataset
from .images.celeba import CelebA
from .images.cifar import CIFAR10, CIFAR100, DatasetNotReadableError
from .images.cifar10_c import CIFAR10C
from .images.dtd import DTD
from .images.image_folder import ImageFolder
from .images.places365 import Places365
from .images.stl10 import STL10
from .images.svhn import SVHN
from .images.tiny_imagenet import TinyImageNet

import_guarded("nda_mm.datasets.videos.checked_decord", host="mmaction")
import_guarded("nda_mm.datasets.boxes.coco", host="mmdet")
import_guarded("nda_mm.datasets.embedded.digits_scenes_dataset", host="mmdet")
import_guarded("nda_mm.datasets.videos.frame_color_jitter", host="mmcv")
import_guarded("nda_mm.datasets.images.paired_images", host="mmagic")
import_guarded("nda_mm.datasets.videos.random_frame_grey", host="mmcv")
import_guarded("nda_mm.datasets.videos.sample_blocks", host="mmcv")
import_guarded("nda_mm.datasets.transforms", host="mmcv")
import_guarded("nda_mm.datasets.boxes.voc", host="mmdet")

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
