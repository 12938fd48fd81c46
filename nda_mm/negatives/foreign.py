"""Negatives that take images of another data set, whole or one half."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .. import functional as F
from ..functional.checks import check_batch, check_interval
from ..functional.layout import laid_out_as
from ..functional.tiles import check_halves
from ..registry import NEGATIVES
from .base import Negative
from .foreign_images import load_images, resize


@NEGATIVES.register_module()
class ForeignImage(Negative):
    """Whole images of another data set, which holds what the data is not.

    For rules that no transform of an image breaks for certain, and that a second set can show broken: images of one or
    three objects where the data has two. That the other set is none of the data is its maker's duty.

    Every sample draws its foreign image for itself, independently of the image it stands beside. The foreign images are
    held in memory in their own dtype (50,000 of 32 x 32 in uint8 take 154 MB) and move with the module. They are not
    saved in checkpoints, for they come from ``images`` again.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113, in the experiment on
        numerosity.

    Args:
        images: a tensor ``(N, C, H, W)``, a ``.pt`` or ``.npy`` file, a folder or the config of a data set, see
            :func:`nda_mm.negatives.foreign_images.load_images`.
        images_range: the values that stand for black and white in the foreign images; (0, 255) for uint8, to be given
            for floating images.
        value_range: the values that stand for black and white in the training batches, if they are floating. Default
            (-1, 1). For uint8 batches it is (0, 255).
        size: ``(height, width)`` to resize the foreign images to once. Images of another size than the batch are
            resized at every call.
        max_images: at most so many foreign images are kept; all if None.

    Raises:
        TypeError, ValueError, FileNotFoundError: if the images or a setting will not do; the message says why.

    Example:
        >>> foreign = torch.full((5, 1, 8, 8), 255, dtype=torch.uint8)
        >>> ForeignImage(foreign)(torch.full((2, 3, 8, 8), -1.0)).unique().tolist()
        [1.0]
    """

    foreign: Tensor

    def __init__(
        self,
        images: Tensor | str | Path | Mapping[str, Any],
        *,
        images_range: tuple[float, float] | None = None,
        value_range: tuple[float, float] = (-1.0, 1.0),
        size: tuple[int, int] | None = None,
        max_images: int | None = None,
    ) -> None:
        super().__init__()
        foreign = load_images(images, size=size, limit=max_images)
        if images_range is None:
            if foreign.dtype != torch.uint8:
                raise ValueError(
                    "floating foreign images may lie in [0, 1], [-1, 1] or elsewhere; say which by images_range=(0, 1)"
                )
            images_range = (0.0, 255.0)
        self.images_range = _check_range(images_range, "images_range")
        self.value_range = _check_range(value_range, "value_range")
        self.register_buffer("foreign", foreign, persistent=False)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        return laid_out_as(self.draw(x, generator), x)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One foreign image for every sample of ``x``, in its shape, dtype and value range.

        Raises:
            ValueError: if the foreign images are on another device or have channels that cannot be matched.
        """
        if self.foreign.device != x.device:
            raise ValueError(
                f"the foreign images are on {self.foreign.device} and the batch on {x.device}; move the negative with "
                f".to({str(x.device)!r})"
            )
        channels = self.foreign.shape[1]
        if channels != x.shape[1] and channels != 1:
            raise ValueError(
                f"the batch has {x.shape[1]} channels and the foreign images {channels}; convert one of them"
            )
        number = torch.randint(len(self.foreign), (x.shape[0],), device=x.device, generator=generator)
        images = resize(self.foreign.index_select(0, number), (x.shape[-2], x.shape[-1]))
        low, high = (0.0, 255.0) if x.dtype == torch.uint8 else self.value_range
        images = _change_range(images, self.images_range, (low, high), x.dtype)
        return (images if x.ndim == 4 else images.unsqueeze(2)).expand_as(x)

    def extra_repr(self) -> str:
        count, channels, height, width = self.foreign.shape
        return f"images={count} x {channels} x {height} x {width}, value_range={self.value_range}"


@NEGATIVES.register_module()
class ForeignStitch(ForeignImage):
    """Half of each image joined with the other half of an image of another data set.

    Every sample draws its foreign image, the cut and the half for itself, so a batch of one will do.

    Source:
        Half an image of another data set is present in the code of the authors of Sinha et al., "Negative Data
        Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113, though not among the published runs.

    Args:
        images, images_range, value_range, size, max_images: see :class:`ForeignImage`.

    Example:
        >>> foreign = torch.full((5, 3, 16, 16), 255, dtype=torch.uint8)
        >>> negative = ForeignStitch(foreign)(torch.full((1, 3, 8, 8), -1.0))
        >>> negative.mean().item(), negative.unique().tolist()
        (0.0, [-1.0, 1.0])
    """

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        return F.stitch(x, other=self.draw(x, generator), generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        check_halves(height, width)


def _check_range(bounds: tuple[float, float], name: str) -> tuple[float, float]:
    low, high = check_interval(bounds, name, -1e6, 1e6)
    if low == high:
        raise ValueError(f"{name} must be two different values, but got {bounds!r}")
    return low, high


def _change_range(
    images: Tensor, before: tuple[float, float], after: tuple[float, float], dtype: torch.dtype
) -> Tensor:
    if dtype == images.dtype and before == after:
        return images
    working = torch.float64 if dtype == torch.float64 else torch.float32
    share = (images.to(working) - before[0]) / (before[1] - before[0])
    changed = share * (after[1] - after[0]) + after[0]
    changed = changed.clamp_(*after)  # what left the stated range, and what rounding added
    return (changed.round_() if dtype == torch.uint8 else changed).to(dtype)
