"""CIFAR and STL-10, with torchvision's file names, addresses, checksums and readers."""

from __future__ import annotations

import os
import tempfile
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar

import mmengine.dist as dist
import numpy as np

from nda_mm.datasets.decoding import class_folders, decode_images, image_files, open_image, resize_squares
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root
from nda_mm.utils.messages import shorten

from .array_dataset import ArrayDataset, DatasetNotReadableError, check_size

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


class TorchvisionImages(ArrayDataset):
    """Base class of CIFAR and STL-10, which are read from ``data_root`` in one of three forms.

    The forms are tried in this order:

    1. the folder of the official files, which ``data_root`` may also be itself;
    2. the official archive, which ``data_root`` may also be itself; it is unpacked to a temporary folder and checked;
    3. class folders of PNG files, ``SPLIT/CLASS/*.png``; labels follow the alphabetical order of the classes. The
       images are decoded once and kept in one memory-mapped file (see ``cache_dir``).

    Names, checksums and the address of the official files are torchvision's. No file is opened before its checksum is
    verified, because the files are pickles, which could run code.

    Args:
        data_root: Folder of the data; see above.
        split: One of ``splits``.
        size: Side of the images in pixels. They are resized from the official size with an antialiasing bicubic filter.
        download: Whether to download the official archive into ``data_root`` if the data are missing or the archive is
            damaged. With several processes, one on each machine downloads.
        allow_partial: Whether to accept class folders with more or fewer images than the official number.
        cache_dir: Folder for the decoded class folders. True uses ``.nda_mm_cache`` in ``data_root``; False disables
            the cache. If it cannot be written, a warning says so and the images are decoded in each run.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ``indices``, ...

    Raises:
        DatasetNotReadableError: If the data are missing, truncated, altered or incomplete; the message says how to get
            them, and which recipe needs no data.
        ValueError: If an argument is out of its range.
    """

    title: ClassVar[str]
    #: Name of torchvision's class for the same data set.
    torchvision_name: ClassVar[str]
    #: Side of the official images in pixels.
    side: ClassVar[int]
    splits: ClassVar[tuple[str, ...]]
    #: Number of images per class in each part of a split; the unlabeled images count as one class.
    images_per_class: ClassVar[dict[str, int]]

    def __init__(
        self,
        data_root: str,
        split: str,
        *,
        size: int | None = None,
        download: bool = False,
        allow_partial: bool = False,
        cache_dir: str | bool = True,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", self.splits)
        self.split = split
        self.size = check_size(self.side if size is None else size)
        self.download = download
        self.allow_partial = allow_partial
        self.cache_dir = cache_dir
        self.labeled = "unlabeled" not in split
        super().__init__(check_data_root(data_root), **kwargs)

    @classmethod
    def published(cls) -> Any:
        """Return torchvision's class, which has the names, address and checksums of the official files."""
        from torchvision import datasets

        return getattr(datasets, cls.torchvision_name)

    def read_official(self, root: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, H, W, 3) and labels of the split, read by torchvision from the official folder."""
        raise NotImplementedError

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Download the data if allowed and needed, then read and resize them."""
        unpacked, packed = self._official_paths()
        try:
            if self.download:
                self._download_if_needed()
            if unpacked.is_dir():
                images, labels = self._read_checked(unpacked.parent)
            elif packed.is_file():
                images, labels = self._read_archive(packed)
            else:
                images, labels = self._read_class_folders()
        except (DatasetNotReadableError, OSError) as error:
            raise self._explain(error) from error
        if not self.labeled:
            labels = np.zeros(len(images))
        # Torchvision's transposed views are made contiguous; a memory map is left as it is.
        return np.require(resize_squares(images, self.size), requirements="C"), labels

    def _official_paths(self) -> tuple[Path, Path]:
        """Return the paths of the official folder and archive, whether ``data_root`` is or contains them."""
        root = Path(self.data_root)
        unpacked = root if root.name == self.published().base_folder else root / self.published().base_folder
        packed = root if root.name.endswith((".tar.gz", ".tgz")) else root / self.published().filename
        return unpacked, packed

    @classmethod
    def download_archive(cls, path: Path) -> None:
        """Download and verify the official archive with torchvision, unless it exists.

        Raises:
            DatasetNotReadableError: If the download fails, or the checksum is wrong.
        """
        from torchvision.datasets.utils import download_url

        published = cls.published()
        try:
            download_url(published.url, path.parent, path.name, published.tgz_md5)
        except (OSError, HTTPException, RuntimeError) as error:
            raise DatasetNotReadableError(f"the download failed: {published.url}: {error}") from error

    def _download_if_needed(self) -> None:
        unpacked, packed = self._official_paths()
        wanted = not unpacked.is_dir() and (packed.is_file() or not Path(self.data_root, self.split).is_dir())
        failure: DatasetNotReadableError | None = None
        # The main process downloads first, then the first process of each machine that does not share its disk.
        for my_turn in (dist.is_main_process(), os.environ.get("LOCAL_RANK", "0") == "0"):
            try:
                if wanted and my_turn and failure is None:
                    self.download_archive(packed)
            except DatasetNotReadableError as error:
                failure = error  # raised below: a process that stopped now would leave the others waiting
            dist.barrier()
        if failure is not None:
            raise failure

    def _read_archive(self, packed: Path) -> tuple[np.ndarray, np.ndarray]:
        from torchvision.datasets.utils import check_integrity, extract_archive

        if not check_integrity(packed, self.published().tgz_md5):
            raise DatasetNotReadableError(f"'{packed}' is truncated or damaged: MD5 is not {self.published().tgz_md5}")
        with tempfile.TemporaryDirectory() as folder:
            extract_archive(packed, folder)
            return self._read_checked(Path(folder))

    def _read_checked(self, root: Path) -> tuple[np.ndarray, np.ndarray]:
        from torchvision.datasets.utils import check_integrity

        try:
            return self.read_official(root)
        except RuntimeError as error:  # torchvision does not name the file
            folder = root / self.published().base_folder
            listed = [*self.published().train_list, *self.published().test_list]
            bad = [name for name, md5 in listed if not check_integrity(folder / name, md5)]
            cause = f"these files are missing, truncated or damaged: {shorten(bad)}" if bad else error
            raise DatasetNotReadableError(f"in '{folder}', {cause}") from error

    def _read_class_folders(self) -> tuple[np.ndarray, np.ndarray]:
        parts = [self._read_folder(part) for part in self.split.split("+")]
        if len(parts) == 1:
            return parts[0]  # memory-mapped
        images, labels = zip(*parts)
        return np.concatenate(images), np.concatenate(labels)

    def _read_folder(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        root, folder = Path(self.data_root), Path(self.data_root, part)
        if not folder.is_dir():
            raise DatasetNotReadableError(f"there is no archive and no folder '{folder}'")

        # Find the files of each class; the classes are in alphabetical order, as in class_folders.
        if part == "unlabeled":
            found = {"image": image_files(folder)}
        else:
            found, classes = class_folders(folder), set(self.METAINFO["classes"])
            if set(found) != classes:
                missing, unknown = sorted(classes - set(found)), sorted(set(found) - classes)
                raise DatasetNotReadableError(
                    f"'{folder}' must have one folder of images for each of the {len(classes)} classes: "
                    f"missing {shorten(missing)}, unknown {shorten(unknown)}"
                )
        expected = self.images_per_class[part]
        wrong = [f"{name} {len(files)}" for name, files in found.items() if len(files) != expected]
        if wrong and not self.allow_partial:
            raise DatasetNotReadableError(
                f"each class must have {expected} images, but got {shorten(wrong)} (allow_partial=True accepts this)"
            )

        # Decode the files; all of them must be readable.
        files = [path for paths in found.values() for path in paths]
        shape = (self.side, self.side, 3)
        decoded = decode_images(files, _read_as_it_is, shape, root=root, name=part, cache_dir=self.cache_dir)
        if decoded.bad:
            listed = shorten([f"{name} ({reason})" for name, reason in decoded.bad], separator="; ")
            raise DatasetNotReadableError(
                f"{len(decoded.bad)} of {len(files)} images in '{folder}' cannot be read: {listed}"
            )
        return decoded.images, np.repeat(np.arange(len(found)), [len(paths) for paths in found.values()])

    def _explain(self, cause: Exception) -> DatasetNotReadableError:
        unpacked, packed = self._official_paths()
        folders = f"{self.data_root}/{self.split}/{self.METAINFO['classes'][0]}/*.png"
        return DatasetNotReadableError(
            f"{self.title} ({self.split} split) cannot be read from '{self.data_root}': {cause}.\n"
            "Do one of these:\n"
            f"  1. put the official archive at '{packed}', or unpack it to '{unpacked}'\n"
            f"  2. put class folders of PNG files at '{folders}', ...\n"
            f"  3. set download=True to download {self.published().url}\n"
            "or train a recipe that needs no data: tools/train.py nda_biggan_digits"
        )


def _read_as_it_is(path: Path) -> np.ndarray:
    with open_image(path) as image:
        return np.asarray(image.convert("RGB"))


@DATASETS.register_module()
class CIFAR10(TorchvisionImages):
    """CIFAR-10: 32x32 photographs in 10 classes, 50,000 for training and 10,000 for testing.

    Source: A. Krizhevsky, Learning multiple layers of features from tiny images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.

    ``data_root`` contains the archive ``cifar-10-python.tar.gz`` (163 MiB), the folder ``cifar-10-batches-py`` that it
    unpacks to, or class folders. The images take 153.6 MB for the training split and 30.7 MB for the test split. All
    workers of a process share this memory; with cached class folders, all processes on a machine share it.

    Args:
        data_root: Folder of the data; may also be the archive or its unpacked folder.
        split: 'train' or 'test'.
        kwargs: Arguments of :class:`TorchvisionImages`: ``download``, ``allow_partial``, ``image_key``, ``pipeline``,
            ...

    Raises:
        DatasetNotReadableError: If the data are missing, truncated, altered or incomplete; the message says how to get
            them, and which recipe needs no data.

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
        """Return images and labels from the batch files."""
        data = self.published()(str(root), train=self.split == "train")
        return data.data, np.array(data.targets)


@DATASETS.register_module()
class CIFAR100(CIFAR10):
    """CIFAR-100: 32x32 photographs in 100 (fine) classes, 500 per class for training and 100 for testing.

    Found, checked and downloaded like :class:`CIFAR10`, from ``cifar-100-python`` or ``cifar-100-python.tar.gz``. One
    of the classes is named 'train'. Since ``data_root`` is the folder above the splits, the test images of that class
    are ``data_root/test/train/*.png``.

    Args:
        data_root: Folder of the data.
        split: 'train' or 'test'.
        kwargs: As for :class:`CIFAR10`.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.CIFAR100', split='test'))
    """

    METAINFO: dict[str, tuple[str, ...]] = {"classes": CIFAR100_CLASSES}
    title = "CIFAR-100"
    torchvision_name = "CIFAR100"
    images_per_class = {"train": 500, "test": 100}

    def __init__(self, data_root: str = "data/cifar100", split: str = "train", **kwargs: Any) -> None:
        super().__init__(data_root, split, **kwargs)


@DATASETS.register_module()
class STL10(TorchvisionImages):
    """STL-10: 96x96 photographs, 5,000 for training and 8,000 for testing in 10 classes, and 100,000 without labels.

    Source: Coates et al., "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    https://cs.stanford.edu/~acoates/stl10/.

    ``data_root`` is, or contains, the folder ``stl10_binary`` that the official archive unpacks to, or it contains
    images in folders: ``train/CLASS/*.png``, ``test/CLASS/*.png``, ``unlabeled/*.png``. The archive itself can be read
    as well, but unpacking its 2.6 GB takes minutes at each start: run ``tools/prepare_data.py stl10`` once instead.
    Resizing to 48 pixels takes about 0.2 ms per image on one core; the unlabeled images then take 691 MB.

    Args:
        data_root: Folder of the data; see above.
        split: 'train', 'test', 'unlabeled' or 'train+unlabeled'. If it includes unlabeled images, no item has a label.
        size: Side of the images in pixels.
        kwargs: Arguments of :class:`TorchvisionImages`: ``download``, ``allow_partial``, ``image_key``, ``pipeline``,
            ...

    Raises:
        DatasetNotReadableError: If files are missing, truncated or incomplete; the message says how to get them.
        ValueError: If an argument is invalid.

    Example:
        >>> STL10("data/stl10", split="test", lazy_init=True).metainfo["classes"][2]
        'car'
    """

    METAINFO = {"classes": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")}
    title = "STL-10"
    torchvision_name = "STL10"
    side = 96
    splits = ("train", "test", "unlabeled", "train+unlabeled")
    images_per_class = {"train": 500, "test": 800, "unlabeled": 100_000}

    def __init__(self, data_root: str = "data/stl10", split: str = "unlabeled", *, size: int = 48, **kwargs: Any):
        super().__init__(data_root, split, size=size, **kwargs)

    def read_official(self, root: Path) -> tuple[np.ndarray, np.ndarray]:
        """Return images and labels from the binary files."""
        data = self.published()(str(root), self.split)
        return data.data.transpose(0, 2, 3, 1), data.labels
