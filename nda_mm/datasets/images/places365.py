"""Places365, the small images."""

from __future__ import annotations

from typing import Any

from nda_mm.registry import DATASETS

from .public_folders import KnownFolder


@DATASETS.register_module()
class Places365(KnownFolder):
    """Places365's validation images of 256x256 pixels: 36,500 photographs of scenes, without their labels.

    Source: Zhou et al., "Places: a 10 million image database for scene recognition", TPAMI 2017.

    Args:
        data_root: The folder above ``val_256/*.jpg``, or that folder itself.
        split: Name of the folder of images. Default ``'val_256'``; ``'test_256'`` is read in the same way.
        size: Side of the squares in pixels: short side scaled (bicubic, antialiased), centre kept. Default 32.
        kwargs: As of :class:`~nda_mm.datasets.images.public_folders.KnownFolder`; all images are of class 0.

    Raises:
        DatasetNotReadableError: If there are no images or none that can be read.
    """

    title = "Places365"
    layout = "val_256/*.jpg"
    url = "http://places2.csail.mit.edu/download.html"

    def __init__(
        self, data_root: str = "data/places365", split: str = "val_256", *, size: int = 32, **kwargs: Any
    ) -> None:
        super().__init__(data_root, split, size=size, with_labels=False, **kwargs)
