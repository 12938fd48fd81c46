"""Data sets from the image lists of the OpenOOD benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from nda_mm.datasets.decoding import open_image, read_lines
from nda_mm.datasets.report import refuse_or_warn
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS

from .array_dataset import DatasetNotReadableError
from .image_folder import ImageFolder


@DATASETS.register_module()
class OpenOODImages(ImageFolder):
    """A data set of OpenOOD v1.5, read from the benchmark's own image list.

    If there is no such list, all images of another data set are used (see ``otherwise``), and the results say so: the
    number of images differs, so the figures are not comparable with published ones. Either way, images are converted to
    RGB, resized by their short side and cropped to their center, as the benchmark does with torchvision.

    Source: Zhang et al., "OpenOOD v1.5", 2023, https://arxiv.org/abs/2306.09301; lists and images:
    https://github.com/Jingkang50/OpenOOD.

    Args:
        name: Name of the data set, such as ``'tin'``.
        benchmark: Folder of the lists, named after the ID data set. Defaults to ``'cifar10'``.
        data_root: Folder with the benchmark's ``benchmark_imglist/BENCHMARK/SPLIT_NAME.txt``, whose lines are
            ``path label``, and ``images_classic``, which the paths are relative to.
        split: ``'test'``, ``'train'`` or ``'val'``. Defaults to ``'test'``.
        otherwise: Config of the data set to read if there is no list. Defaults to None, which raises an error.
        max_bad: Largest accepted share of missing or unreadable files, in [0, 1]. Defaults to 0, since each one changes
            the figures.
        kwargs: Arguments of :class:`~nda_mm.datasets.ImageFolder`: ``size``, ``image_key``, ...

    Raises:
        DatasetNotReadableError: If neither the list nor the other data set can be read, or a line of the list is
            invalid.
        ValueError: If more files than ``max_bad`` cannot be read, or an argument is invalid.

    Example:
        >>> OpenOODImages("svhn", lazy_init=True).list_file.as_posix()
        'data/openood/benchmark_imglist/cifar10/test_svhn.txt'
    """

    def __init__(
        self,
        name: str,
        benchmark: str = "cifar10",
        data_root: str = "data/openood",
        *,
        split: str = "test",
        otherwise: Mapping[str, Any] | None = None,
        max_bad: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_choice(split, "split", ("test", "train", "val"))
        self.list_file = Path(data_root, "benchmark_imglist", benchmark, f"{split}_{name}.txt")
        self.otherwise = otherwise
        self.cache_name = f"openood_{benchmark}_{split}_{name}"
        self._other: Any = None
        super().__init__(data_root, split, max_bad=max_bad, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read the list or, without one, the other data set."""
        how = f"short side to {self.size}, bilinear, antialiased, center cropped to {self.size}x{self.size}"
        if self.list_file.is_file():
            self.resizing = f"OpenOOD's list; {how}"
            return super().load_arrays()
        # Files are read as in the benchmark; if the data set has no files, its images are resized.
        try:
            if self.otherwise is None:
                raise FileNotFoundError("set otherwise= to read a different data set")
            self._other = DATASETS.build(dict(self.otherwise, lazy_init=True))
            self.resizing = f"no list of OpenOOD, all of {type(self._other).__name__}; {how}"
            if isinstance(self._other, ImageFolder):
                return super().load_arrays()
            self._other.full_init()
        except (OSError, ValueError, RuntimeError) as error:
            raise DatasetNotReadableError(f"there is no list '{self.list_file}'; {error}") from error
        self.labeled = self._other.labeled
        images = self._other.images
        if images.shape[1:3] != (self.size, self.size):
            images = np.stack([resize_and_crop(Image.fromarray(image), self.size) for image in images])
        return images, self._other.labels

    def read(self, file: Path) -> np.ndarray:
        """Decode one file as the benchmark does."""
        with open_image(file) as image:
            return resize_and_crop(image.convert("RGB"), self.size)

    def _folder(self) -> Path:
        return Path(self.data_root, "images_classic") if self._other is None else self._other._folder()

    def _list(self, folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        if self._other is not None:
            listed = self._other._list(folder)
            self.labeled = self._other.labeled  # known only after _list
            return listed
        entries = read_image_list(self.list_file)
        there = [(path, label) for path, label in entries if (folder / path).is_file()]
        missing = [(path, "there is no such file") for path, _ in sorted(set(entries) - set(there))]
        refuse_or_warn(f"image files in '{folder}' cannot be read", missing, len(entries), self.max_bad)
        labels = np.array([label for _, label in there])
        self.labeled = bool(labels.min() >= 0)  # OOD images have the label -1
        files = [folder / path for path, _ in there]
        return files, labels.clip(min=0), tuple(map(str, range(labels.max() + 1))) or ("image",)


def read_image_list(file: Path) -> list[tuple[str, int]]:
    """Read an image list with lines of ``path label``.

    Raises:
        DatasetNotReadableError: If the list is empty, a label is not an integer, or a path points outside the folder.
    """
    entries = []
    for number, line in read_lines(file):
        path, _, label = line.rpartition(" ")
        if not path or not label.removeprefix("-").isdecimal():
            raise DatasetNotReadableError(f"'{file}', line {number}: expected 'path label', but got {line[:80]!r}")
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            raise DatasetNotReadableError(f"'{file}', line {number}: the path {path[:80]!r} is outside the folder")
        entries.append((path, int(label)))
    if not entries:
        raise DatasetNotReadableError(f"'{file}' lists no images")
    return entries


def resize_and_crop(image: Any, size: int) -> np.ndarray:
    """Resize a Pillow image by its short side (bilinear, antialiased) and crop its center.

    Example:
        >>> from PIL import Image
        >>> resize_and_crop(Image.new("RGB", (50, 80)), 32).shape
        (32, 32, 3)
    """
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop, resize

    return np.asarray(center_crop(resize(image, [size], InterpolationMode.BILINEAR), [size]))
