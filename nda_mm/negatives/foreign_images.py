"""Images of another data set, as one tensor, from wherever they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from torch import Tensor

from ..compat.checked_load import checked_load
from ..registry import DATASETS

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def load_images(
    source: Tensor | str | Path | Mapping[str, Any], *, size: tuple[int, int] | None = None, limit: int | None = None
) -> Tensor:
    """Images as one tensor ``(N, C, H, W)``.

    Args:
        source: a tensor ``(N, C, H, W)``; a ``.pt`` file that holds one (loaded without running code); a ``.npy`` file
            of ``(N, H, W, C)`` or ``(N, C, H, W)``, told apart by where the 1 or 3 channels are; a folder of images,
            read in order of their names with its subfolders; or the config of a data set whose samples hold a uint8
            ``(H, W, C)`` array under ``gt`` or ``img``.
        size: ``(height, width)`` to resize the images to; needed where they differ in size.
        limit: at most so many images are kept; all if None.

    Returns:
        ``(N, C, H, W)``, uint8 or floating.

    Raises:
        FileNotFoundError: if the file or folder does not exist or holds no image.
        TypeError: if ``source`` is none of these or its dtype is no image's.
        ValueError: if the images are no ``(N, C, H, W)`` with 1 or 3 channels, or differ in size and ``size`` is None.
    """
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise ValueError(f"the limit must be a positive int or None, but got {limit!r}")
    if isinstance(source, Mapping):
        images = _stack(_dataset_images(source, limit), size)
    elif isinstance(source, (str, Path)):
        images = _load_path(Path(source), size, limit)
    else:
        images = source
    if not isinstance(images, Tensor) or not (images.is_floating_point() or images.dtype == torch.uint8):
        came = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"foreign images must be a uint8 or floating tensor (N, C, H, W), but got {came}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or images.numel() == 0:
        raise ValueError(f"foreign images must be (N, C, H, W) with 1 or 3 channels, but got {tuple(images.shape)}")
    images = images if limit is None else images[:limit]
    return images if size is None else resize(images, size)


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """``images`` of another size, interpolated with smoothing, in their own dtype and range."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    resized = nnf.interpolate(images.float(), tuple(size), mode="bilinear", antialias=True)
    if images.dtype == torch.uint8:
        return resized.round_().clamp_(0, 255).to(torch.uint8)
    return resized.to(images.dtype)


def _load_path(path: Path, size: tuple[int, int] | None, limit: int | None) -> Tensor:
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _SUFFIXES)
        if not files:
            raise FileNotFoundError(f"the folder {path} holds no image ({', '.join(_SUFFIXES)})")
        return _stack((_read_image(file) for file in files[:limit]), size)
    if not path.is_file():
        raise FileNotFoundError(
            f"the foreign images {path} do not exist; give a .pt or .npy file or a folder of images"
        )
    if path.suffix == ".npy":
        array = torch.from_numpy(np.load(path, allow_pickle=False))
        if array.ndim == 4 and array.shape[-1] in (1, 3) and array.shape[1] not in (1, 3):
            return array.permute(0, 3, 1, 2).contiguous()
        return array
    if path.suffix in (".pt", ".pth"):
        return checked_load(path, "cpu")
    raise TypeError(f"foreign images come from a .pt or .npy file or a folder of images, but got {path}")


def _read_image(file: Path) -> Tensor:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading a folder of images needs Pillow; pip install 'nda_mm[gan]'") from error
    with Image.open(file) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _dataset_images(config: Mapping[str, Any], limit: int | None) -> Iterator[Tensor]:
    dataset = DATASETS.build(dict(config))
    for number in range(len(dataset) if limit is None else min(limit, len(dataset))):
        sample = dataset[number]
        key = next((key for key in ("gt", "img") if key in sample), None)
        if key is None or not isinstance(sample[key], np.ndarray) or sample[key].dtype != np.uint8:
            raise TypeError(
                "the samples of a data set of foreign images must hold a uint8 (H, W, C) array under 'gt' or 'img', "
                f"but {config.get('type')!r} gives the keys {sorted(sample)}; leave packing out of its pipeline"
            )
        array = sample[key] if sample[key].ndim == 3 else sample[key][..., None]
        if array.shape[-1] == 3 and sample.get(f"{key}_channel_order", "RGB").upper() == "BGR":
            array = array[..., ::-1]
        yield torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1)


def _stack(images: Iterator[Tensor], size: tuple[int, int] | None) -> Tensor:
    stack = [image if size is None else resize(image[None], size)[0] for image in images]
    shapes = sorted({tuple(image.shape) for image in stack})
    if len(shapes) > 1:
        raise ValueError(f"the foreign images differ in shape (for example {shapes[0]} and {shapes[-1]}); give a size")
    return torch.stack(stack)
