"""CIFAR-10 and CIFAR-100, from the official archive or from class folders of PNG."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine.dist as dist
import numpy as np
from mmengine.logging import print_log

from nda_mm.datasets.decoding import class_folders, decode_images, open_image
from nda_mm.datasets.download import DownloadError, download, file_md5
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root
from nda_mm.utils.messages import shorten

from .array_dataset import ArrayDataset
from .cifar_archive import Archive, ArchiveError, read_packed, read_unpacked

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


class DatasetNotReadableError(RuntimeError):
    """A data set is missing or damaged; the message says what was found and every way out."""


@DATASETS.register_module()
class CIFAR10(ArrayDataset):
    """CIFAR-10: 32x32 photographs in 10 classes, 50,000 to train and 10,000 to test.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    It is looked for in ``data_root``, in this order:

    1. the folder ``cifar-10-batches-py``, or ``data_root`` being that folder; each file's checksum is verified;
    2. the archive ``cifar-10-python.tar.gz``, or ``data_root`` being that file; verified, read without unpacking;
    3. class folders of PNG, ``SPLIT/CLASS/*.png``; the alphabetical order of the classes is that of the labels. They
       are decoded once and kept in one memory-mapped file (see ``cache_dir``).

    The images take 153.6 MB for the training split and 30.7 MB for the test split, once for all loader workers of a
    process, and, from class folders with a cache, once for all processes of a machine.

    Args:
        data_root: Where to look, see above.
        split: 'train' or 'test'.
        download: Fetch the official archive (163 MiB) into ``data_root`` if the data are not there, or if the archive
            there is damaged. Interrupted downloads continue. With several processes one of each machine fetches.
        allow_partial: Accept class folders that hold other than the official number of images in each class.
        cache_dir: Folder for the decoded class folders; True: ``.nda_mm_cache`` in ``data_root``; False: none. Where
            nothing can be written, a warning says so and the images are decoded anew in each run.
        kwargs: ``image_key``, ``pipeline``, ``indices``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

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
    archive = Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        filename="cifar-10-python.tar.gz",
        md5="c58f30108f718f92721af3b95e74349a",
        folder="cifar-10-batches-py",
        splits={
            "train": (
                ("data_batch_1", "c99cafc152244af753f735de768cd75f"),
                ("data_batch_2", "d4bba439e000b95fd0a9bffe97cbabec"),
                ("data_batch_3", "54ebc095f3ab1f0389bbae665268c751"),
                ("data_batch_4", "634d18415352ddfa80567beed471001a"),
                ("data_batch_5", "482c414d41f54cd18b22e5b47cb7c3cb"),
            ),
            "test": (("test_batch", "40351d587109b95175f43aff81a1287e"),),
        },
        label_key="labels",
    )
    images_per_class = {"train": 5000, "test": 1000}

    def __init__(
        self,
        data_root: str = "data/cifar10",
        split: str = "train",
        *,
        download: bool = False,
        allow_partial: bool = False,
        cache_dir: str | bool = True,
        **kwargs: Any,
    ) -> None:
        if split not in self.archive.splits:
            raise ValueError(f"split must be one of {sorted(self.archive.splits)}, but got {split!r}")
        self.split = split
        self.download = download
        self.allow_partial = allow_partial
        self.cache_dir = cache_dir
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the data, fetch them if allowed, check and read them."""
        if self.download:
            self._fetch_if_needed()
        read = self._find()
        if read is None:
            raise self._not_readable("no archive and no class folders are there")
        try:
            images, labels = read()
        except ArchiveError as error:
            raise self._not_readable(str(error)) from error
        self._check_counts(labels)
        return images, labels

    def _places(self) -> tuple[Path, Path, Path]:
        """Unpacked archive, archive and class folders, wherever ``data_root`` points among them."""
        root = Path(self.data_root)
        unpacked = root if root.name == self.archive.folder else root / self.archive.folder
        packed = root if root.name.endswith((".tar.gz", ".tgz")) else root / self.archive.filename
        return unpacked, packed, root / self.split

    def _find(self) -> Callable[[], tuple[np.ndarray, np.ndarray]] | None:
        unpacked, packed, folders = self._places()
        if unpacked.is_dir():
            return lambda: read_unpacked(unpacked, self.archive, self.split)
        if packed.is_file():
            return lambda: read_packed(packed, self.archive, self.split)
        if folders.is_dir():
            return lambda: self._read_class_folders(folders)
        return None

    def _fetch_if_needed(self) -> None:
        packed = self._places()[1]
        # One process fetches; on further machines that do not share its disk, one of each does.
        failure: Exception | None = None
        for my_turn in (dist.is_main_process(), os.environ.get("LOCAL_RANK", "0") == "0"):
            try:
                if my_turn and failure is None and self._must_fetch(packed):
                    download(self.archive.url, packed, md5=self.archive.md5)
            except (DownloadError, OSError) as error:
                failure = error  # raised only below: a process that left now would keep the others waiting
            dist.barrier()
        if failure is not None:
            raise self._not_readable(f"the download failed: {failure}") from failure

    def _must_fetch(self, packed: Path) -> bool:
        if self._find() is None:
            return True
        if self._places()[0].is_dir() or not packed.is_file() or self.archive.md5 in (None, file_md5(packed)):
            return False
        print_log(f"'{packed}' is truncated or damaged and is fetched again.", "current", logging.WARNING)
        return True

    def _read_class_folders(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        def decode(path: Path) -> np.ndarray:
            with open_image(path) as image:
                return np.asarray(image.convert("RGB"))

        found = class_folders(folder)
        classes = self.METAINFO["classes"]
        if set(found) != set(classes):
            missing, surplus = sorted(set(classes) - set(found)), sorted(set(found) - set(classes))
            raise ArchiveError(
                f"'{folder}' does not hold the {len(classes)} classes as folders with images: "
                f"missing {shorten(missing)}, unknown {shorten(surplus)}"
            )
        files = [path for name in classes for path in found[name]]
        decoded = decode_images(
            files, decode, (32, 32, 3), root=Path(self.data_root), name=self.split, cache_dir=self.cache_dir
        )
        if decoded.bad:
            listed = "; ".join(f"{name} ({reason})" for name, reason in decoded.bad[:5])
            raise ArchiveError(f"{len(decoded.bad)} of {len(files)} images in '{folder}' cannot be read: {listed}")
        return decoded.images, np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])

    def _check_counts(self, labels: np.ndarray) -> None:
        classes = self.METAINFO["classes"]
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(classes):
            raise self._not_readable(
                f"labels reach from {labels.min()} to {labels.max()}, not from 0 to {len(classes) - 1}"
            )
        counts = np.bincount(labels, minlength=len(classes))
        expected = self.images_per_class[self.split]
        if not self.allow_partial and (counts != expected).any():
            wrong = [f"{classes[index]} {counts[index]}" for index in np.flatnonzero(counts != expected)]
            raise self._not_readable(
                f"each class has {expected} images, but found are {shorten(wrong)} "
                "(allow_partial=True accepts a part of the data)"
            )

    def _not_readable(self, cause: str) -> DatasetNotReadableError:
        unpacked, packed, folders = self._places()
        classes = self.METAINFO["classes"]
        return DatasetNotReadableError(
            f"{self.title} ({self.split} split) cannot be read from '{self.data_root}': {cause}.\n"
            "Any of these mends it:\n"
            f"  1. put the official archive at '{packed}', or unpack it to '{unpacked}'\n"
            f"  2. put class folders of PNG at '{folders}/{classes[0]}/*.png' ... '{folders}/{classes[-1]}/*.png'\n"
            f"  3. set download=True to fetch {self.archive.url}\n"
            "or train where no data are needed: tools/train.py nda_biggan_digits"
        )


@DATASETS.register_module()
class CIFAR100(CIFAR10):
    """CIFAR-100: 32x32 photographs in 100 (fine) classes, 500 of each to train and 100 to test.

    Found, checked and fetched as :class:`CIFAR10` is, from ``cifar-100-python`` or ``cifar-100-python.tar.gz``; the
    memory is the same. One of the classes is named 'train': ``data_root`` is the folder above the splits, so the test
    images of that class are ``data_root/test/train/*.png``.

    Args:
        data_root: Where to look.
        split: 'train' or 'test'.
        kwargs: As of :class:`CIFAR10`.
    """

    METAINFO: dict[str, tuple[str, ...]] = {"classes": CIFAR100_CLASSES}
    title = "CIFAR-100"
    archive = Archive(
        url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        filename="cifar-100-python.tar.gz",
        md5="eb9058c3a382ffc7106e4002c42a8d85",
        folder="cifar-100-python",
        splits={
            "train": (("train", "16019d7e3df5f24257cddd939b257f8d"),),
            "test": (("test", "f0ef6b0ae62326f3e7ffdfab6717acfc"),),
        },
        label_key="fine_labels",
    )
    images_per_class = {"train": 500, "test": 100}

    def __init__(self, data_root: str = "data/cifar100", split: str = "train", **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)
