"""Negatives that use images of another data set, whole or in half, and the loading of these images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from .. import functional as F
from ..compat.safe_load import checked_load
from ..functional.checks import check_batch, check_interval, check_least_side
from ..functional.layout import laid_out_as
from ..registry import DATASETS, NEGATIVES
from ..utils.files import check_file
from .base import Negative

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


@NEGATIVES.register_module(name=["ExternalImage", "ForeignImage"])  # the second was its name until 0.1
class ExternalImage(Negative):
    """Replace each image with an image of another data set, which contains what the data does not.

    For rules that no transform is certain to break but a second data set can, such as images of one or three objects
    where the data has two. Make sure that the two data sets have no images in common.

    Each sample draws its external image independently. The external images are kept in memory in their own dtype
    (50,000 of 32 x 32 in uint8 take 154 MB) and move with the module. They are not saved in checkpoints.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113, the experiment on
        numerosity.

    Args:
        images: Tensor ``(N, C, H, W)``, ``.pt`` or ``.npy`` file, folder, or config of a data set, see
            :func:`nda_mm.negatives.external.load_images`.
        images_range: Values of black and white in the external images. Defaults to (0, 255) for uint8; required for
            floating images.
        value_range: Values of black and white in the training batches, if they are floating. Defaults to (-1, 1). For
            uint8 batches it is always (0, 255).
        size: ``(height, width)`` to which the external images are resized once. Images that differ in size from the
            batch are resized at every call. Defaults to None.
        max_images: Maximum number of external images to keep. Defaults to None: all.

    Raises:
        TypeError, ValueError, FileNotFoundError: If the images or a setting are not valid; the message says why.

    Example:
        >>> external = torch.full((5, 1, 8, 8), 255, dtype=torch.uint8)
        >>> ExternalImage(external)(torch.full((2, 3, 8, 8), -1.0)).unique().tolist()
        [1.0]
    """

    external: Tensor

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
        external = load_images(images, size=size, limit=max_images)
        if images_range is None:
            if external.dtype != torch.uint8:
                raise ValueError("images_range must be given for floating external images, such as (0, 1) or (-1, 1)")
            images_range = (0.0, 255.0)
        self.images_range = _check_range(images_range, "images_range")
        self.value_range = _check_range(value_range, "value_range")
        self.register_buffer("external", external, persistent=False)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        return laid_out_as(self.draw(x, generator), x)

    def draw(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw one external image for every sample of ``x``, with its shape, dtype and value range.

        Raises:
            ValueError: If the external images are on another device or have channels that cannot be matched.
        """
        if self.external.device != x.device:
            raise ValueError(f"external images must be on the device {x.device}, but got {self.external.device}")
        channels = self.external.shape[1]
        if channels != x.shape[1] and channels != 1:
            raise ValueError(f"external images must have 1 or {x.shape[1]} channels for the batch, but got {channels}")
        number = torch.randint(len(self.external), (x.shape[0],), device=x.device, generator=generator)
        images = resize_images(self.external.index_select(0, number), (x.shape[-2], x.shape[-1]))
        low, high = (0.0, 255.0) if x.dtype == torch.uint8 else self.value_range
        images = _change_range(images, self.images_range, (low, high), x.dtype)
        return (images if x.ndim == 4 else images.unsqueeze(2)).expand_as(x)

    def extra_repr(self) -> str:
        count, channels, height, width = self.external.shape
        return f"images={count} x {channels} x {height} x {width}, value_range={self.value_range}"


@NEGATIVES.register_module(name=["ExternalStitch", "ForeignStitch"])
class ExternalStitch(ExternalImage):
    """Join half of each image with the other half of an image of another data set.

    Each sample draws its own external image, cut and half, so a batch of one is enough.

    Source:
        The code of the authors of Sinha et al., "Negative Data Augmentation", ICLR 2021,
        https://arxiv.org/abs/2102.05113, has half an image of another data set, which is not among the published runs.

    Args:
        images, images_range, value_range, size, max_images: See :class:`ExternalImage`.

    Example:
        >>> external = torch.full((5, 3, 16, 16), 255, dtype=torch.uint8)
        >>> negative = ExternalStitch(external)(torch.full((1, 3, 8, 8), -1.0))
        >>> negative.mean().item(), negative.unique().tolist()
        (0.0, [-1.0, 1.0])
    """

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        return F.stitch(x, other=self.draw(x, generator), generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        check_least_side(height, width, 2, "stitch")


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
    changed = changed.clamp_(*after)  # values outside the stated range, and rounding errors
    return (changed.round_() if dtype == torch.uint8 else changed).to(dtype)


def load_images(
    source: Tensor | str | Path | Mapping[str, Any], *, size: tuple[int, int] | None = None, limit: int | None = None
) -> Tensor:
    """Load images as one tensor ``(N, C, H, W)``.

    Args:
        source: A tensor ``(N, C, H, W)``; a ``.pt`` file that holds one; a ``.npy`` file of ``(N, H, W, C)`` or
            ``(N, C, H, W)``; a folder of images, read with its subfolders in order of the names; or the config of a
            data set whose samples hold a uint8 ``(H, W, C)`` array under ``gt`` or ``img``. No code in files is run.
        size: ``(height, width)`` to resize the images to; required if they differ in size. Defaults to None.
        limit: Maximum number of images to keep. Defaults to None: all.

    Returns:
        ``(N, C, H, W)``, uint8 or floating.

    Raises:
        FileNotFoundError: If the file or folder does not exist, or the folder contains no images.
        TypeError: If ``source`` is none of these, or its dtype is not that of images.
        ValueError: If the images are not ``(N, C, H, W)`` with 1 or 3 channels, or differ in size and ``size`` is None.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be above 0 or None, but got {limit!r}")
    # Read the images from wherever they are.
    if isinstance(source, Tensor):
        images = source
    elif isinstance(source, Mapping):
        images = _stack(_dataset_images(source, limit), size)
    elif Path(source).is_dir():
        images = _stack(_folder_images(Path(source), limit), size)
    elif Path(source).suffix == ".npy":
        images = torch.from_numpy(np.load(source, allow_pickle=False))
        if images.shape[-1] in (1, 3) and images.shape[1] not in (1, 3):
            images = images.movedim(-1, 1).contiguous()
    else:
        images = checked_load(source, "cpu")

    # Check the result: a file can hold anything.
    if not isinstance(images, Tensor) or not (images.is_floating_point() or images.dtype == torch.uint8):
        came = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"external images must be a uint8 or floating tensor (N, C, H, W), but got {came}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise ValueError(f"external images must be (N, C, H, W) with 1 or 3 channels, but got {tuple(images.shape)}")
    images = images if limit is None else images[:limit]
    return images if size is None else resize_images(images, size)


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize images with antialiasing, keeping their dtype and value range."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    resized = nnf.interpolate(images.float(), tuple(size), mode="bilinear", antialias=True)
    if images.dtype == torch.uint8:
        return resized.round_().clamp_(0, 255).to(torch.uint8)
    return resized.to(images.dtype)


def _folder_images(folder: Path, limit: int | None) -> Iterator[Tensor]:
    from PIL import Image  # only needed here

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _SUFFIXES)
    if not files:
        raise FileNotFoundError(f"folder {folder} contains no images ({', '.join(_SUFFIXES)})")
    for file in files[:limit]:
        check_file(file)  # opening a FIFO would wait forever
        with Image.open(file) as image:
            yield torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _dataset_images(config: Mapping[str, Any], limit: int | None) -> Iterator[Tensor]:
    dataset = DATASETS.build(dict(config))
    for number in range(len(dataset))[:limit]:
        sample = dataset[number]
        key = next((key for key in ("gt", "img") if key in sample), None)
        if key is None:
            raise TypeError(
                f"external images must be uint8 (H, W, C) arrays under 'gt' or 'img', but {config.get('type')!r} gives "
                f"{sorted(sample)}; remove packing from its pipeline"
            )
        array = sample[key] if sample[key].ndim == 3 else sample[key][..., None]
        if array.shape[-1] == 3 and sample.get(f"{key}_channel_order", "RGB").upper() == "BGR":
            array = array[..., ::-1]
        yield torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def _stack(images: Iterator[Tensor], size: tuple[int, int] | None) -> Tensor:
    stack = [image if size is None else resize_images(image[None], size)[0] for image in images]
    shapes = sorted({tuple(image.shape) for image in stack})
    if len(shapes) > 1:
        raise ValueError(f"external images must share one shape, but got {shapes[0]} and {shapes[-1]}; set a size")
    return torch.stack(stack)
