"""mmagic's CIFAR-10, for the stock loader's time, of images that are in memory already.

mmagic's reader takes the official archive by its checksums and nothing else. What is timed is what comes after reading:
a pickled dictionary an image, its pipeline and its loader, all of which stay mmagic's and mmengine's.
"""

from __future__ import annotations

from typing import Any

from mmagic.datasets import CIFAR10
from mmagic.registry import DATASETS as MMAGIC_DATASETS

from nda_mm.registry import DATASETS


@MMAGIC_DATASETS.register_module()
class HeldCIFAR10(CIFAR10):
    """mmagic's ``CIFAR10`` with the images of another data set.

    Args:
        source: Config of a data set of this package that holds its images as one array.
        kwargs: As of mmagic's.
    """

    def __init__(self, source: dict[str, Any], **kwargs: Any) -> None:
        self.source = source
        super().__init__(data_prefix="", test_mode=False, download=False, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """One dictionary an image, as mmagic makes them of the archive."""
        held = DATASETS.build(self.source)
        return [
            {"gt": image, "gt_label": int(label), "gt_channel_order": "RGB"}
            for image, label in zip(held.images, held.labels, strict=True)
        ]
