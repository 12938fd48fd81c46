"""A folder of arbitrary images as a data set of squares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.datasets.decoding import class_folders, decode_images, image_files, is_image, open_image
from nda_mm.datasets.report import refuse_or_warn
from nda_mm.functional.checks import check_within
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, printable

from .array_dataset import ArrayDataset, check_size


@DATASETS.register_module()
class ImageFolder(ArrayDataset):
    """All images below a folder, rotated upright, resized by their short side and cropped to their center.

    Gray, palette and transparent images are converted to RGB (transparent ones on white), the EXIF orientation is
    applied, and resizing is antialiased. Files are decoded once and kept in one memory-mapped file: N images take
    ``3 * size**2 * N`` bytes, both on disk and in memory.

    If there are subfolders with images, each of them is a class, in alphabetical order. Otherwise, there is one class,
    'image', and items have no ``gt_label``, so a conditional GAN refuses them. To use a folder in a recipe, change only
    ``type`` and ``data_root`` of its data set::

        --cfg-options train_dataloader.dataset.type=nda_mm.ImageFolder train_dataloader.dataset.data_root=my_images

    Args:
        data_root: Folder of the images.
        split: Subfolder to read, such as 'train'. If ``data_root`` has no such subfolder, ``data_root`` itself is read.
        size: Side of the squares in pixels.
        with_labels: Whether subfolders are classes. By default, they are if any of them contains images.
        max_bad: Largest accepted share of unreadable files, in [0, 1]. Up to this share, unreadable files are left out
            and named in one warning.
        cache_dir: Folder for the decoded images. True uses ``.nda_mm_cache`` in the image folder; False disables the
            cache.
        kwargs: Arguments of :class:`~nda_mm.datasets.ArrayDataset`: ``image_key``, ``pipeline``, ``indices``, ...

    Raises:
        FileNotFoundError: If the folder is missing or contains no images.
        ValueError: If too many files are unreadable, or there are images both in class folders and next to them.

    Example:
        In a config::

            train_dataloader = dict(dataset=dict(type='nda_mm.ImageFolder', data_root='my/images', size=64))
    """

    #: Side of the centered square to crop, in pixels of the file. None uses the short side.
    crop: int | None = None
    #: Distinguishes caches of the same folder and size.
    cache_name = "images"

    def __init__(
        self,
        data_root: str,
        split: str | None = None,
        *,
        size: int = 32,
        with_labels: bool | None = None,
        max_bad: float = 0.1,
        cache_dir: str | bool = True,
        **kwargs: Any,
    ) -> None:
        self.split = split
        self.size = check_size(size)
        self.with_labels = with_labels
        self.max_bad = check_within(max_bad, "max_bad", 0, 1)
        self.cache_dir = cache_dir
        self.resizing = f"short side to {size}, bicubic, antialiased, center cropped to {size}x{size}"
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Find the images, decode them (or map the cache), and report files that cannot be read."""
        folder = self._folder()
        files, labels, classes = self._list(folder)
        shape = (self.size, self.size, 3)
        decoded = decode_images(files, self.read, shape, root=folder, name=self.cache_name, cache_dir=self.cache_dir)
        refuse_or_warn(f"image files in '{folder}' cannot be read", decoded.bad, len(files), self.max_bad)
        self._metainfo.setdefault("classes", classes)
        self.files = np.array(files, dtype=object)[decoded.kept]
        return decoded.images, labels[decoded.kept]

    def read(self, file: Path) -> np.ndarray:
        """Decode one file as uint8 (size, size, 3)."""
        return read_square(file, self.size, self.crop)

    def _folder(self) -> Path:
        folder = Path(self.data_root)
        if self.split and (folder / self.split).is_dir():
            folder = folder / self.split
        if not folder.is_dir():
            raise FileNotFoundError(f"the image folder '{folder}' does not exist (data_root={self.data_root!r})")
        return folder

    def _list(self, folder: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
        # If subfolders with images are classes, no image may lie next to them.
        by_class = class_folders(folder) if self.with_labels is not False else {}
        if by_class:
            names = {printable(path.name) for path in folder.iterdir()} - set(by_class)
            if loose := sorted(filter(is_image, names)):
                raise ValueError(
                    f"'{folder}' holds class folders and {len(loose)} images without a class ({loose[0]}, ...); move "
                    "them, or set with_labels=False"
                )
            files = [path for paths in by_class.values() for path in paths]
            labels = np.repeat(np.arange(len(by_class)), [len(paths) for paths in by_class.values()])
            return files, labels, tuple(by_class)
        # Otherwise, all images belong to one class.
        if self.with_labels:
            raise FileNotFoundError(f"with_labels=True, but '{folder}' holds no subfolders with images")
        self.labeled = False
        files = image_files(folder)
        if not files:
            raise FileNotFoundError(
                f"'{folder}' holds no images (png, jpg, bmp, gif, webp, tif, ppm), nor do its subfolders"
            )
        return files, np.zeros(len(files)), ("image",)


def read_square(path: str | Path, size: int, crop: int | None = None) -> np.ndarray:
    """Read one image file as an upright RGB square: the center is cropped and resized to ``size``.

    Args:
        path: Image file of any mode.
        size: Side of the output in pixels.
        crop: Side of the centered square to crop, in pixels of the file, at most the short side. Defaults to the short
            side.

    Returns:
        uint8 image. Shape: (size, size, 3).
    """
    from PIL import Image, ImageOps

    with open_image(path) as opened:
        # Make the image upright, 8-bit, and RGB on white.
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith(("I", "F")):
            image = _to_eight_bits(image)
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        image = image.convert("RGB")

        width, height = image.size
        side = min(width, height) if crop is None else crop
        if side > min(width, height):
            raise ValueError(f"{width}x{height} pixels are too small for a square of {side}")
        left, top = (width - side) / 2, (height - side) / 2
        # Scaling the centered square is the same as cropping the scaled image, without rounding its long side.
        box = (left, top, left + side, top + side)
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _to_eight_bits(image: Any) -> Any:
    """Convert 16-bit, 32-bit and float gray images; Pillow's own conversion would clip them at 255."""
    from PIL import Image

    values = np.asarray(image, dtype=np.float64)
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):  # the range is known only from the values themselves
        low, high = values.min(), max(values.max(), values.min() + 1e-9)
    return Image.fromarray(np.rint((values - low) / (high - low) * 255).clip(0, 255).astype(np.uint8))
