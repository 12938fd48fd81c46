"""CIFAR-10 and CIFAR-100, from the official archive or from class folders of PNG."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import mmengine.dist as dist
import numpy as np
from mmengine.logging import print_log

from nda_mm.datasets.decoding import class_folders, decode_images, open_image
from nda_mm.datasets.download import DownloadError, download, file_md5
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, check_file
from nda_mm.utils.messages import Progress, describe_error, shorten

from .array_dataset import ArrayDataset, DatasetNotReadableError

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


class _Unreadable(Exception):
    """Why the data that were found cannot be read."""


@DATASETS.register_module()
class CIFAR10(ArrayDataset):
    """CIFAR-10: 32x32 photographs in 10 classes, 50,000 to train and 10,000 to test.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    The data are searched in ``data_root``, in this order:

    1. the folder ``cifar-10-batches-py``, or ``data_root`` being that folder;
    2. the archive ``cifar-10-python.tar.gz``, or ``data_root`` being that file, read without unpacking it;
    3. class folders of PNG, ``SPLIT/CLASS/*.png``; the alphabetical order of the classes is that of the labels. They
       are decoded once and kept in one memory-mapped file (see ``cache_dir``).

    Names, checksums and the address of the official files are torchvision's, and the checksums are verified. The images
    take 153.6 MB for the training split and 30.7 MB for the test split, once for all workers of a process, and, from
    class folders with a cache, once for all processes of a machine.

    Args:
        data_root: Where to look, see above.
        split: 'train' or 'test'.
        download: Download the official archive (163 MiB) into ``data_root`` if the data are not there, or if the
            archive there is damaged. Interrupted downloads resume. Of several processes, one on each machine downloads.
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
    label_key = "labels"
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
        if split not in self.images_per_class:
            raise ValueError(f"split must be one of {sorted(self.images_per_class)}, but got {split!r}")
        self.split = split
        self.download = download
        self.allow_partial = allow_partial
        self.cache_dir = cache_dir
        super().__init__(check_data_root(data_root), **kwargs)

    @staticmethod
    def published() -> Any:
        """torchvision's class of the same data set: names, checksums and address of the official files."""
        from torchvision.datasets import CIFAR10

        return CIFAR10

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Download the data where that is allowed and needed, then read and count them."""
        unpacked, packed, folders = self._places()
        try:
            if self.download:
                self._download_if_needed()
            if unpacked.is_dir():
                images, labels = self._read_official(unpacked)
            elif packed.is_file():
                images, labels = self._read_official(packed)
            elif folders.is_dir():
                images, labels = self._read_class_folders(folders)
            else:
                raise _Unreadable("no archive and no class folders are there")
            self._check_counts(labels)
        except _Unreadable as error:
            classes = self.METAINFO["classes"]
            raise DatasetNotReadableError(
                f"{self.title} ({self.split} split) cannot be read from '{self.data_root}': {error}.\n"
                "Do one of these:\n"
                f"  1. put the official archive at '{packed}', or unpack it to '{unpacked}'\n"
                f"  2. put class folders of PNG at '{folders}/{classes[0]}/*.png' ... '{folders}/{classes[-1]}/*.png'\n"
                f"  3. set download=True to download {self.published().url}\n"
                "or train where no data are needed: tools/train.py nda_biggan_digits"
            ) from error
        return images, labels

    def _places(self) -> tuple[Path, Path, Path]:
        """Unpacked archive, archive and class folders, whichever of them ``data_root`` points to."""
        root, published = Path(self.data_root), self.published()
        unpacked = root if root.name == published.base_folder else root / published.base_folder
        packed = root if root.name.endswith((".tar.gz", ".tgz")) else root / published.filename
        return unpacked, packed, root / self.split

    def _download_if_needed(self) -> None:
        published, (unpacked, packed, folders) = self.published(), self._places()
        failure: Exception | None = None
        # The main process downloads; then, on machines that do not share its disk, the first process of each.
        for my_turn in (dist.is_main_process(), os.environ.get("LOCAL_RANK", "0") == "0"):
            try:
                if my_turn and failure is None and not unpacked.is_dir():
                    if packed.is_file() and file_md5(packed) != published.tgz_md5:
                        print_log(f"'{packed}' is damaged and is downloaded again.", "current", logging.WARNING)
                        download(published.url, packed, md5=published.tgz_md5)
                    elif not packed.is_file() and not folders.is_dir():
                        download(published.url, packed, md5=published.tgz_md5)
            except (DownloadError, OSError) as error:
                failure = error  # raised only below: a process that left now would keep the others waiting
            dist.barrier()
        if failure is not None:
            raise _Unreadable(f"the download failed: {failure}") from failure

    def _read_official(self, place: Path) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels from the archive, or from the folder that it unpacks to."""
        published = self.published()
        checksums = dict(published.train_list if self.split == "train" else published.test_list)
        contents = {}
        try:
            with Progress(f"reading '{place}'", len(checksums), "files") as progress:
                if place.is_dir():
                    for name in checksums:
                        check_file(place / name)
                        contents[name] = (place / name).read_bytes()
                        progress.update(len(contents))
                else:
                    _check_md5(str(place), file_md5(place), published.tgz_md5)
                    with tarfile.open(place) as archive:
                        for member in archive:  # in the archive's order, so that it is decompressed once
                            if (name := PurePosixPath(member.name).name) in checksums and member.isfile():
                                contents[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
                                progress.update(len(contents))
        except OSError as error:
            raise _Unreadable(f"'{place}' cannot be read: {error}") from error
        pixels, labels = [], []
        for name, md5 in checksums.items():
            _check_md5(f"{place}: {name}", hashlib.md5(contents[name], usedforsecurity=False).hexdigest(), md5)
            batch = load_batch(contents[name])
            pixels.append(batch["data"])
            labels.append(batch[self.label_key])
        # A row is all red, then all green, then all blue values.
        images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), np.concatenate(labels).astype(np.int64)

    def _read_class_folders(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        def decode(path: Path) -> np.ndarray:
            with open_image(path) as image:
                return np.asarray(image.convert("RGB"))

        found = class_folders(folder)
        classes = self.METAINFO["classes"]
        if set(found) != set(classes):
            missing, surplus = sorted(set(classes) - set(found)), sorted(set(found) - set(classes))
            raise _Unreadable(
                f"'{folder}' does not hold the {len(classes)} classes as folders with images: "
                f"missing {shorten(missing)}, unknown {shorten(surplus)}"
            )
        files = [path for name in classes for path in found[name]]
        decoded = decode_images(
            files, decode, (32, 32, 3), root=Path(self.data_root), name=self.split, cache_dir=self.cache_dir
        )
        if decoded.bad:
            listed = shorten([f"{name} ({reason})" for name, reason in decoded.bad], separator="; ")
            raise _Unreadable(f"{len(decoded.bad)} of {len(files)} images in '{folder}' cannot be read: {listed}")
        return decoded.images, np.repeat(np.arange(len(classes)), [len(found[name]) for name in classes])

    def _check_counts(self, labels: np.ndarray) -> None:
        classes, expected = self.METAINFO["classes"], self.images_per_class[self.split]
        counts = np.bincount(labels, minlength=len(classes))
        wrong = [f"{name} {count}" for name, count in zip(classes, counts, strict=True) if count != expected]
        if wrong and not self.allow_partial:
            raise _Unreadable(
                f"each class has {expected} images, but found are {shorten(wrong)} "
                "(allow_partial=True accepts a part of the data)"
            )


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
    label_key = "fine_labels"
    images_per_class = {"train": 500, "test": 100}

    def __init__(self, data_root: str = "data/cifar100", split: str = "train", **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)

    @staticmethod
    def published() -> Any:
        """torchvision's class of the same data set."""
        from torchvision.datasets import CIFAR100

        return CIFAR100


def _check_md5(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise _Unreadable(f"'{name}' is truncated or damaged: its MD5 is {found}, not {expected}")


def load_batch(content: bytes) -> dict[str, Any]:
    """Unpickle a batch file of CIFAR, which may name nothing but plain values and numpy arrays: no code is run.

    Raises:
        ValueError: If it names anything else, or is no pickle.

    Example:
        >>> load_batch(pickle.dumps({"labels": [3]}))
        {'labels': [3]}
    """
    try:
        return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # damaged pickles fail in many ways
        raise ValueError(f"this is no batch file of CIFAR: {describe_error(error)}") from error


# Taken from a live array, since numpy 2 moved the function; both module names occur in files.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise ValueError(f"it asks for '{module}.{name}', which is refused")
        return _ALLOWED[module, name]
