"""STL-10: the data set, from its binary files or from folders, and its archive unpacked."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from nda_mm.datasets.archives import unpack
from nda_mm.datasets.decoding import resize_squares
from nda_mm.datasets.download import download, file_md5
from nda_mm.registry import DATASETS
from nda_mm.utils.files import check_data_root, link_folder

from .array_dataset import ArrayDataset, DatasetNotReadableError
from .image_folder import ImageFolder

FOLDER = "stl10_binary"
SIDE = 96
#: Images of each part.
PARTS = {"train": 5_000, "test": 8_000, "unlabeled": 100_000}
#: The files of the archive that are read, with their size in bytes.
FILES = {
    **{f"{part}_X.bin": count * 3 * SIDE * SIDE for part, count in PARTS.items()},
    **{f"{part}_y.bin": PARTS[part] for part in ("train", "test")},
}


@DATASETS.register_module()
class STL10(ArrayDataset):
    """STL-10: 96x96 photographs, 5,000 to train and 8,000 to test in 10 classes, and 100,000 without labels.

    Source: Coates et al., "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    https://cs.stanford.edu/~acoates/stl10/.

    ``data_root`` holds the folder ``stl10_binary`` (or is it), with ``train_X.bin``, ``train_y.bin``, ``test_X.bin``,
    ``test_y.bin`` and ``unlabeled_X.bin``; or images in folders: ``train/CLASS/*.png``, ``test/CLASS/*.png``,
    ``unlabeled/*.png``. Other sizes than 96 are made with an antialiasing bicubic filter, at each start: 48 pixels take
    about 0.2 ms an image and a core, and the unlabelled images 691 MB.

    Args:
        data_root: See above.
        split: 'train', 'test', 'unlabeled' or 'train+unlabeled'. Where unlabelled images are among them, no item
            carries a label.
        size: Side of the images in pixels.
        allow_partial: Accept other than the official number of images.
        kwargs: ``image_key``, ``pipeline``, ``indices``, ... of :class:`~nda_mm.datasets.ArrayDataset`.

    Raises:
        DatasetNotReadableError: If files are missing, truncated or incomplete; it says how to get them.
        ValueError: If a setting is unknown.

    Example:
        >>> STL10("data/stl10", split="test", lazy_init=True).metainfo["classes"][2]
        'car'
    """

    METAINFO = {"classes": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")}

    def __init__(
        self,
        data_root: str = "data/stl10",
        split: str = "unlabeled",
        *,
        size: int = 48,
        allow_partial: bool = False,
        **kwargs: Any,
    ) -> None:
        if split not in (*PARTS, "train+unlabeled"):
            raise ValueError(f"split must be one of {(*PARTS, 'train+unlabeled')}, but got {split!r}")
        if size < 1:
            raise ValueError(f"size must be at least 1, but got {size}")
        self.split = split
        self.size = size
        self.allow_partial = allow_partial
        self.labelled = "unlabeled" not in split
        super().__init__(check_data_root(data_root), **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Read and scale the parts of the split."""
        parts = [self._part(name) for name in self.split.split("+")]
        images = np.concatenate([images for images, _ in parts])
        if not self.labelled:
            return images, np.zeros(len(images), dtype=np.int64)
        return images, parts[0][1]

    def _part(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        root = Path(self.data_root)
        folder = root if root.name == FOLDER else root / FOLDER
        if (folder / f"{name}_X.bin").is_file():
            images, labels = self._binary(folder, name)
        elif (root / name).is_dir():
            images, labels = self._folders(root / name, name)
        else:
            raise self._not_readable(f"there is no '{folder}/{name}_X.bin' and no folder '{root / name}'")
        if len(images) != PARTS[name] and not self.allow_partial:
            raise self._not_readable(
                f"its part '{name}' has {PARTS[name]} images, but found are {len(images)} (allow_partial=True accepts "
                "a part of the data)"
            )
        return images, labels

    def _binary(self, folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        path, labels_path = folder / f"{name}_X.bin", folder / f"{name}_y.bin"
        try:
            # Each image is all red values, then green, then blue, and each colour one column after the other.
            stored = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, SIDE, SIDE)
        except ValueError as error:
            raise self._not_readable(f"'{path}' is truncated or damaged: {error}") from error
        images = np.ascontiguousarray(resize_squares(stored.transpose(0, 3, 2, 1), self.size))
        if name == "unlabeled":
            return images, np.zeros(len(images), dtype=np.int64)
        labels = np.fromfile(labels_path, dtype=np.uint8).astype(np.int64) if labels_path.is_file() else np.empty(0)
        if len(labels) != len(images) or labels.min() < 1 or labels.max() > len(self.METAINFO["classes"]):
            raise self._not_readable(
                f"'{labels_path}' is missing or damaged: it must hold a number from 1 to 10 for each of {len(images)} "
                "images"
            )
        return images, labels - 1

    def _folders(self, folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
        data = ImageFolder(str(folder), size=self.size, with_labels=name != "unlabeled")
        if name != "unlabeled" and data.metainfo["classes"] != self.METAINFO["classes"]:
            raise self._not_readable(
                f"the folders in '{folder}' must be the classes {', '.join(self.METAINFO['classes'])}, but are "
                f"{', '.join(data.metainfo['classes'][:12])}"
            )
        return data.images, data.labels

    def _not_readable(self, cause: str) -> DatasetNotReadableError:
        return DatasetNotReadableError(
            f"STL-10 ({self.split} split) cannot be read from '{self.data_root}': {cause}.\n"
            "Do one of these:\n"
            "  1. python tools/prepare_data.py stl10 stl10_binary.tar.gz, or --download (2.6 GB), which checks and "
            "unpacks it\n"
            f"  2. put images at '{self.data_root}/train/airplane/*.png', ..., '{self.data_root}/unlabeled/*.png'\n"
            "or train where no data are needed: tools/train.py nda_biggan_digits"
        )


def download_stl10(out: Path) -> Path:
    """Download the official archive, 2.6 GB, to ``out`` unless it is there; interrupted downloads resume."""
    from torchvision.datasets import STL10 as published

    archive = out / published.filename
    if archive.is_file() and file_md5(archive) == published.tgz_md5:
        return archive
    return download(published.url, archive, md5=published.tgz_md5)


def take_stl10(source: Path, out: Path) -> str:
    """Unpack the archive, or link the folder that it unpacks to, to where the recipes look.

    Where all files are there in their official sizes, the archive is not even opened.

    Args:
        source: ``stl10_binary.tar.gz``, or the folder ``stl10_binary``, or one that holds it.
        out: The folder to fill, ``data/stl10``.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: If there is no such file or folder, or the folder holds nothing of STL-10.
        FileExistsError: If something else stands where a link should.
        ValueError: If the archive is truncated or another.
    """
    folder = out / FOLDER
    if source.is_dir():
        found = next((place for place in (source, source / FOLDER) if (place / "train_X.bin").is_file()), None)
        if found is None:
            raise FileNotFoundError(f"neither '{source}' nor its {FOLDER} holds a train_X.bin")
        link_folder(found, folder)
        return f"{found}: linked as {folder}"
    if all((folder / name).is_file() and (folder / name).stat().st_size == size for name, size in FILES.items()):
        return f"{folder}: all files are there"
    files = unpack(source, folder, lambda parts: PurePosixPath(parts[-1]) if parts[-1] in FILES else None, FILES)
    return f"{source}: {files.count} files in {folder}"
