"""STL-10, from the official archive or from class folders of PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nda_mm.registry import DATASETS

from .torchvision_images import TorchvisionImages


@DATASETS.register_module()
class STL10(TorchvisionImages):
    """STL-10: 96x96 photographs, 5,000 to train and 8,000 to test in 10 classes, and 100,000 without labels.

    Source: Coates et al., "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", AISTATS 2011,
    https://cs.stanford.edu/~acoates/stl10/.

    ``data_root`` holds the folder ``stl10_binary`` (or is it) that the official archive unpacks to; or images in
    folders: ``train/CLASS/*.png``, ``test/CLASS/*.png``, ``unlabeled/*.png``. The archive itself is read too, but
    unpacking its 2.6 GB takes minutes at each start: let ``tools/prepare_data.py stl10`` do it once. Resizing to 48
    pixels takes about 0.2 ms an image and a core, and the unlabeled images 691 MB afterwards.

    Args:
        data_root: See above.
        split: 'train', 'test', 'unlabeled' or 'train+unlabeled'. With unlabeled images among them, no item carries a
            label.
        size: Side of the images in pixels.
        kwargs: ``download``, ``allow_partial``, ``image_key``, ``pipeline``, ... of :class:`TorchvisionImages`.

    Raises:
        DatasetNotReadableError: If files are missing, truncated or incomplete; it says how to get them.
        ValueError: If a setting is unknown.

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
        """Images and labels from the binary files."""
        data = self.published()(str(root), self.split)
        return data.data.transpose(0, 2, 3, 1), data.labels
