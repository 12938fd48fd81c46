"""CIFAR-10 and CIFAR-100, from the official archive or from class folders of PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.registry import DATASETS

from .torchvision_images import TorchvisionImages

# fmt: off
CIFAR100_CLASSES = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# fmt: on


@DATASETS.register_module()
class CIFAR10(TorchvisionImages):
    """CIFAR-10: 32x32 photographs in 10 classes, 50,000 to train and 10,000 to test.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    ``data_root`` holds the archive ``cifar-10-python.tar.gz`` (163 MiB), the folder ``cifar-10-batches-py`` that it
    unpacks to, or class folders. The images take 153.6 MB for the training split and 30.7 MB for the test split, once
    for all workers of a process, and, from class folders with a cache, once for all processes of a machine.

    Args:
        data_root: Where to look; may be the archive or its folder.
        split: 'train' or 'test'.
        kwargs: ``download``, ``allow_partial``, ``image_key``, ``pipeline``, ... of :class:`TorchvisionImages`.

    Raises:
        DatasetNotReadableError: If the data are missing, truncated, altered or incomplete; the message says how to get
            them, and which recipe needs none.

    Example:
        >>> CIFAR10("data/cifar10", split="train", lazy_init=True).metainfo["classes"][3]
        'cat'
    """

    METAINFO: dict[str, tuple[str, ...]] = {
        "classes": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    }
    title = "CIFAR-10"
    torchvision_name = "CIFAR10"
    side = 32
    splits = ("train", "test")
    images_per_class = {"train": 5000, "test": 1000}

    def __init__(self, data_root: str = "data/cifar10", split: str = "train", **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)

    def read_official(self, root: Path) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels from the batch files."""
        data = self.published()(str(root), train=self.split == "train")
        return data.data, np.array(data.targets)


@DATASETS.register_module()
class CIFAR100(CIFAR10):
    """CIFAR-100: 32x32 photographs in 100 (fine) classes, 500 of each to train and 100 to test.

    Found, checked and downloaded as :class:`CIFAR10` is, from ``cifar-100-python`` or ``cifar-100-python.tar.gz``. One
    of the classes is named 'train': ``data_root`` is the folder above the splits, so the test images of that class are
    ``data_root/test/train/*.png``.

    Args:
        data_root: Where to look.
        split: 'train' or 'test'.
        kwargs: As for :class:`CIFAR10`.
    """

    METAINFO: dict[str, tuple[str, ...]] = {"classes": CIFAR100_CLASSES}
    title = "CIFAR-100"
    torchvision_name = "CIFAR100"
    images_per_class = {"train": 500, "test": 100}

    def __init__(self, data_root: str = "data/cifar100", split: str = "train", **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
