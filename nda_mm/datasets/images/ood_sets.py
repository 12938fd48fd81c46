"""Public data sets for the evaluation of OOD detectors: folders of images, SVHN, MNIST and CIFAR-10-C."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nda_mm.datasets.decoding import class_folders, describe_resizing, image_files, read_lines, resize_squares
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, check_file, printable
from nda_mm.utils.messages import describe_error

from .array_dataset import ArrayDataset, DatasetNotReadableError, check_size
from .image_folder import ImageFolder
from .torchvision_images import CIFAR10

CORRUPTIONS = (
    "brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_blur", "gaussian_noise",
    "glass_blur", "impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "saturate", "shot_noise", "snow",
    "spatter", "speckle_noise", "zoom_blur",
)  # fmt: skip
SEVERITIES = (1, 2, 3, 4, 5)
URL = "https://zenodo.org/records/2535967"


class PublicImageFolder(ImageFolder):
    """An :class:`~nda_mm.datasets.ImageFolder` of a known layout; errors name the layout and the download address.

    Made for evaluation: unreadable files are reported in one warning and left out. Only a folder without any readable
    image is an error.

    Args:
        data_root: Parent of the image folder, or the image folder itself.
        max_bad: Largest accepted share of unreadable files, in [0, 1]. Defaults to 1: one readable file is enough.
        kwargs: Arguments of :class:`~nda_mm.datasets.ImageFolder`: ``size``, ...

    Raises:
        DatasetNotReadableError: If the folder is missing or contains no images, or if none (or too few) of them can be
            read.
    """

    title: ClassVar[str]
    #: Path of the files below ``data_root``.
    layout: ClassVar[str]
    url: ClassVar[str]

    def __init__(self, data_root: str, split: str | None = None, *, max_bad: float = 1.0, **kwargs: Any) -> None:
        super().__init__(data_root, split, max_bad=max_bad, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the folder, then read all readable images."""
        root, name = Path(self.data_root), self.split or ""
        try:
            if not (root / name).is_dir() and root.name != name:
                raise FileNotFoundError(f"there is no folder '{root / name}'")
            return super().load_arrays()
        except (OSError, ValueError) as error:
            raise DatasetNotReadableError(
                f"{self.title} cannot be read from '{self.data_root}': {error}\nIts files must be at "
                f"'{root}/{self.layout}' and are published at {self.url}. Set data_root to the folder above them, and "
                "download damaged files again."
            ) from error


@DATASETS.register_module()
class DTD(PublicImageFolder):
    """DTD: 5,640 photographs of textures in 47 classes; the official splits are not used.

    Source: Cimpoi et al., "Describing textures in the wild", CVPR 2014, https://arxiv.org/abs/1311.3618.

    Args:
        data_root: Folder above ``images/CLASS/*.jpg``, or ``images`` itself.
        size: Side of the squares in pixels: the short side is resized (bicubic, antialiased) and the center cropped.
            Defaults to 32.
        kwargs: As for :class:`PublicImageFolder`.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.DTD'))
    """

    title = "DTD"
    layout = "images/CLASS/*.jpg"
    url = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"

    def __init__(self, data_root: str = "data/dtd", **kwargs: Any) -> None:
        super().__init__(data_root, "images", with_labels=True, **kwargs)


@DATASETS.register_module()
class Places365(PublicImageFolder):
    """Validation images of Places365: 36,500 photographs of scenes, 256x256 pixels, read without their labels.

    Source: Zhou et al., "Places: a 10 million image database for scene recognition", TPAMI 2017.

    Args:
        data_root: Folder above ``val_256/*.jpg``, or ``val_256`` itself.
        split: Name of the image folder. Defaults to ``'val_256'``; ``'test_256'`` is read in the same way.
        size: Side of the squares in pixels: the short side is resized (bicubic, antialiased) and the center cropped.
            Defaults to 32.
        kwargs: As for :class:`PublicImageFolder`; all images have class 0.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.Places365'))
    """

    title = "Places365"
    layout = "val_256/*.jpg"
    url = "http://places2.csail.mit.edu/download.html"

    def __init__(self, data_root: str = "data/places365", split: str = "val_256", **kwargs: Any) -> None:
        super().__init__(data_root, split, with_labels=False, **kwargs)


@DATASETS.register_module()
class TinyImageNet(PublicImageFolder):
    """Tiny ImageNet: 64x64 photographs in 200 classes, 100,000 for training and 10,000 for validation.

    Source: Stanford CS231n, http://cs231n.stanford.edu/tiny-imagenet-200.zip. The classes are those of ``wnids.txt``,
    in alphabetical order.

    Args:
        data_root: Folder with ``wnids.txt``, ``val/images/*.JPEG`` with ``val/val_annotations.txt``, and
            ``train/WNID/images/*.JPEG``. Validation images that were sorted into ``val/WNID`` are found as well.
        split: ``'val'`` or ``'train'``. Defaults to ``'val'``.
        size: Side of the images in pixels, resized (bicubic, antialiased). Defaults to 32.
        kwargs: As for :class:`PublicImageFolder`.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.TinyImageNet'))
    """

    title = "Tiny ImageNet"
    layout = "val/images/*.JPEG"
    url = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"

    def __init__(self, data_root: str = "data/tiny-imagenet-200", split: str = "val", **kwargs: Any) -> None:
        check_choice(split, "split", ("val", "train"))  # the test images have no labels
        super().__init__(data_root, split, **kwargs)

    def _list(self, folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        classes = tuple(sorted(name for _, name in read_lines(folder.parent / "wnids.txt")))
        number = {name: index for index, name in enumerate(classes)}
        if (folder / "images").is_dir():
            lines = read_lines(folder / "val_annotations.txt")
            notes = dict(line.split("\t")[:2] for _, line in lines if "\t" in line)
            found = {path: notes.get(path.name, "") for path in image_files(folder / "images")}
        else:
            found = {path: name for name, paths in class_folders(folder).items() for path in paths}
        if not found:
            raise FileNotFoundError(f"'{folder}' holds no images")
        unknown = sorted(printable(path.name) for path, name in found.items() if name not in number)
        if unknown:
            raise ValueError(
                f"{len(unknown)} of {len(found)} images in '{folder}' (the first is {unknown[0]}) belong to no class "
                "in wnids.txt, or are not listed in val_annotations.txt"
            )
        return list(found), np.array([number[name] for name in found.values()]), classes


@DATASETS.register_module()
class SVHN(ArrayDataset):
    """SVHN's cropped digits: 32x32 photographs of house numbers, labeled by the digit in the middle.

    Source: Netzer et al., "Reading digits in natural images with unsupervised feature learning", NIPS workshop 2011,
    http://ufldl.stanford.edu/housenumbers/.

    ``SPLIT_32x32.mat`` is read and its checksum verified by torchvision and SciPy. The 26,032 test images take 80 MB.

    Args:
        data_root: Folder of the ``.mat`` files, or one of these files.
        split: ``'train'``, ``'test'`` or ``'extra'``. Defaults to ``'test'``.
        size: Side of the images in pixels. Defaults to 32, the original size.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``every``, ``indices``,
            ``pipeline``, ...

    Raises:
        DatasetNotReadableError: If the file is missing, damaged, or different from the published one.
        ModuleNotFoundError: If SciPy is not installed.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.SVHN', data_root='data/svhn'))
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(self, data_root: str = "data/svhn", split: str = "test", *, size: int = 32, **kwargs: Any) -> None:
        check_choice(split, "split", ("train", "test", "extra"))
        self.split = split
        self.size = check_size(size)
        self.resizing = describe_resizing(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the file and resize the images."""
        from torchvision import datasets

        root = Path(self.data_root)
        folder = root.parent if root.suffix == ".mat" else root
        url, name, md5 = datasets.SVHN.split_list[self.split]
        try:
            data = datasets.SVHN(str(folder), self.split)
        except RuntimeError as error:
            cause = f"its MD5 is not {md5}" if (folder / name).is_file() else "there is no such file"
            raise DatasetNotReadableError(
                f"SVHN ({self.split} split) cannot be read from '{folder / name}': {cause}. Download {url}"
            ) from error
        images = np.ascontiguousarray(data.data.transpose(0, 2, 3, 1))
        return resize_squares(images, self.size), data.labels


@DATASETS.register_module()
class MNIST(ArrayDataset):
    """MNIST: gray handwritten digits of 28x28 pixels, 60,000 for training and 10,000 for testing, as RGB images.

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998.

    The files are read by torchvision, and the gray values are repeated in three channels.

    Args:
        data_root: Folder above ``MNIST/raw``, which contains ``t10k-images-idx3-ubyte`` and so on.
        split: ``'train'`` or ``'test'``. Defaults to ``'test'``.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``every``, ``indices``,
            ``pipeline``, ...

    Raises:
        DatasetNotReadableError: If a file is missing or damaged.

    Example:
        >>> MNIST("data/mnist", lazy_init=True).metainfo["classes"][3]
        '3'
    """

    METAINFO = {"classes": tuple("0123456789")}

    def __init__(self, data_root: str = "data/mnist", split: str = "test", **kwargs: Any) -> None:
        check_choice(split, "split", ("train", "test"))
        self.split = split
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the two files of the split."""
        from torchvision import datasets

        raw = Path(self.data_root) / "MNIST" / "raw"
        try:
            data = datasets.MNIST(self.data_root, train=self.split == "train")
        except (RuntimeError, ValueError, AssertionError, IndexError) as error:
            raise DatasetNotReadableError(
                f"MNIST ({self.split} split) cannot be read from '{raw}': {error}. Its files are published at "
                f"{datasets.MNIST.mirrors[-1]}"
            ) from error
        return np.repeat(data.data.numpy()[..., None], 3, axis=-1), data.targets.numpy()


@DATASETS.register_module()
class CIFAR10C(ArrayDataset):
    """One of CIFAR-10-C's 19 corruptions at one of its 5 severities: 10,000 images.

    Source: Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and perturbations",
    ICLR 2019, https://arxiv.org/abs/1903.12261; data: https://zenodo.org/records/2535967.

    ``data_root`` contains ``labels.npy`` and, for each corruption, ``CORRUPTION.npy``: uint8 (50000, 32, 32, 3) with
    the five severities one after the other. Only the rows of one severity are read, 31 of 154 MB.

    Args:
        data_root: Folder of the ``.npy`` files.
        corruption: One of :data:`CORRUPTIONS`.
        severity: 1 (weak) to 5.
        size: Side of the images in pixels. Defaults to 32, the original size.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``every``, ``indices``,
            ``pipeline``, ...

    Raises:
        ValueError: If the corruption or the severity does not exist.
        DatasetNotReadableError: If a file is missing, damaged, or has the wrong shape.

    Example:
        In a config::

            test_dataloader = dict(dataset=dict(type='nda_mm.CIFAR10C', corruption='fog', severity=3))
    """

    METAINFO = CIFAR10.METAINFO

    def __init__(
        self,
        data_root: str = "data/CIFAR-10-C",
        corruption: str = "gaussian_noise",
        severity: int = 1,
        *,
        size: int = 32,
        **kwargs: Any,
    ) -> None:
        check_choice(corruption, "corruption", CORRUPTIONS)
        check_choice(severity, "severity", SEVERITIES)
        self.corruption = corruption
        self.severity = severity
        self.size = check_size(size)
        self.resizing = describe_resizing(32, size)
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the rows of one severity from two files."""
        arrays: list[np.ndarray] = []
        try:
            for name in ("labels", self.corruption):
                path = Path(self.data_root, f"{name}.npy")
                check_file(path)
                arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
            labels, images = arrays
            if images.dtype != np.uint8 or images.shape != (*labels.shape, 32, 32, 3) or len(labels) % len(SEVERITIES):
                raise ValueError(f"it has {images.dtype} {images.shape}, but labels.npy has {labels.shape}")
        except (OSError, ValueError, EOFError) as error:
            raise DatasetNotReadableError(
                f"CIFAR-10-C cannot be read from '{self.data_root}': {path.name}: {describe_error(error)}. Download "
                f"CIFAR-10-C.tar from {URL} and run tools/prepare_data.py cifar10_c CIFAR-10-C.tar"
            ) from error
        # The severities are stored one after the other.
        count = len(labels) // len(SEVERITIES)
        rows = slice((self.severity - 1) * count, self.severity * count)
        return resize_squares(np.array(images[rows]), self.size), labels[rows]
