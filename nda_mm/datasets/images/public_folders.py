"""Public data sets that are folders of images: DTD, Places365, Tiny ImageNet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from nda_mm.datasets.decoding import class_folders, image_files, read_lines
from nda_mm.functional.checks import check_choice
from nda_mm.registry import DATASETS
from nda_mm.utils.files import printable

from .array_dataset import DatasetNotReadableError
from .image_folder import ImageFolder


class PublicImageFolder(ImageFolder):
    """An :class:`~nda_mm.datasets.ImageFolder` of a known layout, whose errors name the layout and the address.

    Made for evaluation: files that cannot be read are reported in one warning and left out, and only a folder without
    any readable image is an error.

    Args:
        data_root: The folder above the images' folder, or that folder.
        size: Side of the squares in pixels.
        max_bad: Highest share of unreadable files, 0 to 1. Default 1: as long as one can be read.
        kwargs: As for :class:`~nda_mm.datasets.ImageFolder`.

    Raises:
        DatasetNotReadableError: If the folder is missing, holds no images, or none (or too few) that can be read.
    """

    title: ClassVar[str]
    #: Where the files belong, below ``data_root``.
    layout: ClassVar[str]
    url: ClassVar[str]

    def __init__(
        self, data_root: str, split: str | None = None, *, size: int = 32, max_bad: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(data_root, split, size=size, max_bad=max_bad, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the folder, then read what can be read."""
        root, name = Path(self.data_root), self.split or ""
        try:
            if not (root / name).is_dir() and root.name != name:
                raise FileNotFoundError(f"there is no folder '{root / name}'")
            return super().load_arrays()
        except (OSError, ValueError) as error:
            raise DatasetNotReadableError(
                f"{self.title} cannot be read from '{self.data_root}': {error}\nIts files belong at "
                f"'{root}/{self.layout}' and are published at {self.url}. Set data_root to the folder above them, and "
                "download damaged files again."
            ) from error


@DATASETS.register_module()
class DTD(PublicImageFolder):
    """DTD: 5,640 photographs of textures in 47 classes; the official splits are not used.

    Source: Cimpoi et al., "Describing textures in the wild", CVPR 2014, https://arxiv.org/abs/1311.3618.

    Args:
        data_root: The folder above ``images/CLASS/*.jpg``, or ``images`` itself.
        size: Side of the squares in pixels: short side scaled (bicubic, antialiased), center kept. Default 32.
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
    """Places365's validation images of 256x256 pixels: 36,500 photographs of scenes, without their labels.

    Source: Zhou et al., "Places: a 10 million image database for scene recognition", TPAMI 2017.

    Args:
        data_root: The folder above ``val_256/*.jpg``, or that folder itself.
        split: Name of the folder of images. Default ``'val_256'``; ``'test_256'`` is read in the same way.
        size: Side of the squares in pixels: short side scaled (bicubic, antialiased), center kept. Default 32.
        kwargs: As for :class:`PublicImageFolder`; all images are of class 0.

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
    """Tiny ImageNet: 64x64 photographs in 200 classes, 100,000 to train and 10,000 to validate.

    Source: Stanford CS231n, http://cs231n.stanford.edu/tiny-imagenet-200.zip. The classes are those of ``wnids.txt``,
    in alphabetical order.

    Args:
        data_root: The folder of ``wnids.txt``, above ``val/images/*.JPEG`` with ``val/val_annotations.txt``, and
            ``train/WNID/images/*.JPEG``. Validation images that were sorted into ``val/WNID`` are found too.
        split: ``'val'`` (default) or ``'train'``.
        size: Side in pixels: scaled (bicubic, antialiased). Default 32.
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
                f"{len(unknown)} of {len(found)} images in '{folder}' (the first is {unknown[0]}) are of no class of "
                "wnids.txt, or not listed in val_annotations.txt"
            )
        return list(found), np.array([number[name] for name in found.values()], dtype=np.int64), classes
