"""The Describable Textures Dataset."""

from __future__ import annotations

from typing import Any

from nda_mm.registry import DATASETS

from .public_folders import KnownFolder


@DATASETS.register_module()
class DTD(KnownFolder):
    """DTD: 5,640 photographs of textures in 47 classes, all of them whatever the official splits.

    Source: Cimpoi et al., "Describing textures in the wild", CVPR 2014, https://arxiv.org/abs/1311.3618.

    Args:
        data_root: The folder above ``images/CLASS/*.jpg``, or ``images`` itself.
        size: Side of the squares in pixels: short side scaled (bicubic, antialiased), centre kept. Default 32.
        kwargs: As of :class:`~nda_mm.datasets.images.public_folders.KnownFolder`.

    Raises:
        DatasetNotReadableError: If there are no images or none that can be read.
    """

    title = "DTD"
    layout = "images/CLASS/*.jpg"
    url = "https://www.robots.ox.ac.uk/~vgg/data/dtd/"

    def __init__(self, data_root: str = "data/dtd", *, size: int = 32, **kwargs: Any) -> None:
        super().__init__(data_root, "images", size=size, with_labels=True, **kwargs)
