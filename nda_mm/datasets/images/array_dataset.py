"""Base class of data sets of small images that are held as one array."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init


class DatasetNotReadableError(RuntimeError):
    """Raised if a data set is missing or damaged; the message says what was found and how to fix it."""


def check_size(size: int, least: int = 1) -> int:
    """Return the side of images in pixels, or raise ValueError if it is less than ``least``."""
    if size < least:
        raise ValueError(f"size must be at least {least}, but got {size!r}")
    return size


class ArrayDataset(BaseDataset):
    """A labeled set of equally sized images, held as one uint8 array instead of one dictionary per image.

    mmengine's ``BaseDataset`` keeps a list of dictionaries, pickled into one buffer. For 50,000 small images, that is
    slow to build and to read. Here, the images stay in the array they were loaded into. Forked data loader workers
    share it without copying (nothing in it is reference counted), and reading an item copies only one image.

    Subclasses implement :meth:`load_arrays`. Everything else works as in ``BaseDataset``: ``pipeline``, ``lazy_init``,
    ``indices``, ``get_subset`` and the wrappers (concatenate, repeat, balance).

    Args:
        data_root: Folder of the data, if there is one.
        image_key: Key of the image in an item: 'gt' for mmagic's pipelines (``[dict(type='PackInputs')]``), 'img' for
            mmpretrain's.
        every: Keep every n-th image, starting with the first, for n >= 1. The subset has all classes even if the images
            are sorted by class. With -n, keep all other images: 5 and -5 make a test and a training set. Defaults to 1,
            which keeps all images.
        kwargs: Arguments of ``BaseDataset``: ``pipeline``, ``indices`` (into the images that ``every`` keeps),
            ``metainfo``, ``test_mode``, ``lazy_init`` and ``max_refetch``.

    Example:
        >>> class Stripes(ArrayDataset):
        ...     def load_arrays(self):
        ...         return np.zeros((4, 8, 8, 3), np.uint8), np.arange(4)
        >>> len(Stripes(every=2)), Stripes()[3]["gt_label"]
        (2, 3)
    """

    #: Images as uint8, RGB if C is 3. Shape: (N, H, W, C).
    images: np.ndarray
    #: Labels as int64. Shape: (N,).
    labels: np.ndarray
    #: File of each image as ``Path``, if each image has one. Shape: (N,).
    files: np.ndarray | None = None
    #: Whether there are labels. If not, all labels are 0 and items have none, so that a model that needs classes fails
    #: instead of treating all images as one class.
    labeled: bool = True
    _fully_initialized: bool = False

    def __init__(self, data_root: str = "", *, image_key: str = "gt", every: int = 1, **kwargs: Any) -> None:
        if not isinstance(every, int) or -2 < every < 1:
            raise ValueError(f"every must be n (keep every n-th image) or -n (keep all others, n>1), but got {every!r}")
        self.image_key = image_key
        self.every = every
        super().__init__(data_root=str(data_root), data_prefix={}, serialize_data=False, **kwargs)

    def load_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return images (N, H, W, C) as uint8 and integer labels (N,); may fill ``self._metainfo``."""
        raise NotImplementedError(f"{type(self).__name__} must implement load_arrays")

    def full_init(self) -> None:
        """Load the arrays once; called at construction unless ``lazy_init`` is set."""
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
        """Return one item before the pipeline. The image is a copy, so that transforms may work in place."""
        index = range(len(self.images))[idx]
        image = np.array(self.images[index])
        order = "single" if image.shape[-1] == 1 else "RGB"
        item = {self.image_key: image, f"{self.image_key}_channel_order": order, "sample_idx": index}
        if self.labeled:
            item["gt_label"] = int(self.labels[index])
        return item

    @force_full_init
    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of one image in the form that mmengine's ``ClassBalancedDataset`` expects."""
        return [int(self.labels[idx])]

    @force_full_init
    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keep the first n, the last n (if negative) or the listed images."""
        self._select(indices)

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> ArrayDataset:
        """Return a data set of the first n, the last n (if negative) or the listed images; this one is unchanged."""
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
