"""Data sets that live as one array: the base of every reader of small images here."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init


class DatasetNotReadableError(RuntimeError):
    """A data set is missing or damaged; the message says what was found and every way out."""


def check_size(size: int, least: int = 1) -> int:
    """Return the side of images in pixels, or raise ValueError."""
    if size < least:
        raise ValueError(f"size must be at least {least}, but got {size!r}")
    return size


class ArrayDataset(BaseDataset):
    """A labeled set of equally sized images, held as one uint8 array instead of one dictionary per image.

    mmengine's ``BaseDataset`` keeps a list of dictionaries, pickled into one buffer. For 50,000 small images that is
    slow to build and to read; here the images stay in the one array they were loaded into. Forked loader workers share
    it without a copy (nothing in it is reference counted), and one item costs the copy of one image.

    Subclasses implement :meth:`load_arrays`. Everything else of ``BaseDataset`` works as usual: ``pipeline``,
    ``lazy_init``, ``indices``, ``get_subset``, the wrappers (concatenate, repeat, balance).

    Args:
        data_root: Folder of the data, where there is one.
        image_key: Name of the image in an item: 'gt' for mmagic's pipelines (``[dict(type='PackInputs')]``), 'img' for
            mmpretrain's.
        every: Keep every n-th image, from the first on, n >= 1: a smaller set of all classes, also where the images are
            sorted by class. With -n, keep all others: 5 and -5 make a test and a training set. Default 1: all.
        kwargs: ``pipeline``, ``indices`` (of the images that ``every`` leaves), ``metainfo``, ``test_mode``,
            ``lazy_init`` and ``max_refetch`` of ``BaseDataset``.

    Example:
        >>> class Stripes(ArrayDataset):
        ...     def load_arrays(self):
        ...         return np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)
        >>> len(Stripes(every=2)), Stripes()[3]["gt_label"]
        (2, 3)
    """

    #: (N, H, W, C) uint8; RGB where C is 3.
    images: np.ndarray
    #: (N,) int64.
    labels: np.ndarray
    #: (N,) the file of each image, as ``Path``, if each has one.
    files: np.ndarray | None = None
    #: Whether there are labels. If not, all are 0 and items carry none, so that a model that needs the classes fails
    #: instead of taking all images for one class.
    labeled: bool = True
    _fully_initialized: bool = False

    def __init__(self, data_root: str = "", *, image_key: str = "gt", every: int = 1, **kwargs: Any) -> None:
        if not isinstance(every, int) or -2 < every < 1:
            raise ValueError(f"every must be n (keep each n-th image) or -n (all others, n > 1), but got {every!r}")
        self.image_key = image_key
        self.every = every
        super().__init__(data_root=str(data_root), data_prefix={}, serialize_data=False, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, H, W, C) as uint8 and labels (N,), whole numbers; may fill ``self._metainfo``."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_arrays")

    def full_init(self) -> None:
        """Load once; called at construction unless ``lazy_init``."""
        if self._fully_initialized:
            return
        images, labels = self.load_arrays()
        self.images, self.labels = images, labels.astype(np.int64)
        self._keep(slice(None, None, self.every) if self.every > 0 else np.arange(len(images)) % -self.every != 0)
        self._fully_initialized = True
        if self._indices is not None:
            self._select(self._indices)

    @force_full_init
    def __len__(self) -> int:
        return len(self.images)

    @force_full_init
    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One item before the pipeline. The image is a copy, so a transform that works in place does no harm."""
        index = range(len(self.images))[idx]
        image = np.array(self.images[index])
        order = "single" if image.shape[-1] == 1 else "RGB"
        item = {self.image_key: image, f"{self.image_key}_channel_order": order, "sample_idx": index}
        if self.labeled:
            item["gt_label"] = int(self.labels[index])
        return item

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Class of one image as mmengine's ``ClassBalancedDataset`` asks for it."""
        return [int(self.labels[idx])]

    @force_full_init
    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keep the first n, the last n (negative) or the listed images."""
        self._select(indices)

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> ArrayDataset:
        """A data set of the first n, the last n (negative) or the listed images; this one is left alone."""
        subset = copy.copy(self)
        subset._metainfo = copy.deepcopy(self._metainfo)
        subset._select(indices)
        return subset

    def _select(self, indices: int | Sequence[int]) -> None:
        selector: slice | np.ndarray
        if isinstance(indices, (int, np.integer)):
            if abs(indices) > len(self.images):
                raise ValueError(f"indices must be within the {len(self.images)} images, but got {indices}")
            selector = slice(0, int(indices)) if indices >= 0 else slice(int(indices), None)
        else:
            selector = np.asarray(indices, dtype=np.int64)
        self._keep(selector)

    def _keep(self, selector: slice | np.ndarray) -> None:
        self.images, self.labels = self.images[selector], self.labels[selector]
        if self.files is not None:
            self.files = self.files[selector]
