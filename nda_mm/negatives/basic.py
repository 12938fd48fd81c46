"""Basic negatives: one for each function of :mod:`nda_mm.functional`, and one for points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .. import functional as F
from ..functional import geometry, mixing, tiles
from ..functional.checks import check_batch, check_least_side, check_positive, check_within
from ..registry import NEGATIVES
from .base import Negative


@NEGATIVES.register_module()
class Jigsaw(Negative):
    """Shuffle the tiles of each image, see :func:`nda_mm.functional.jigsaw`.

    Args:
        grid: Number of tiles in each direction, or ``(rows, columns)``; must divide the image size. Defaults to 2.

    Example:
        >>> Jigsaw(grid=4)(torch.rand(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(self, grid: int | tuple[int, int] = 2) -> None:
        super().__init__()
        self.grid = tiles.check_grid(grid)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.jigsaw(x, self.grid, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        tiles.check_grid(self.grid, height, width)


@NEGATIVES.register_module()
class TileMix(Jigsaw):
    """Compose each image of tiles from other images, see :func:`nda_mm.functional.tilemix`.

    Args:
        grid: Number of tiles in each direction, or ``(rows, columns)``; must divide the image size. Defaults to 2.

    Example:
        >>> TileMix()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    needs_partner = True

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if other is not None:
            raise ValueError("TileMix does not accept `other`: it takes its tiles from several images of the batch")
        return F.tilemix(x, self.grid, generator=generator)


@NEGATIVES.register_module()
class Patches(Negative):
    """Tile each image with square crops of itself, see :func:`nda_mm.functional.patches`.

    Args:
        size: Bounds of the side as fractions of the shorter image side, within ``[1/64, 1/2]``. Defaults to
            (16 / 224, 72 / 224).

    Example:
        >>> Patches()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, size: tuple[float, float] = (16 / 224, 72 / 224)) -> None:
        super().__init__()
        self.size = tiles.check_patch_size(size)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.patches(x, self.size, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        tiles.check_patch_sides(self.size, height, width)


@NEGATIVES.register_module()
class Stitch(Negative):
    """Join half of each image with half of another one, see :func:`nda_mm.functional.stitch`.

    Example:
        >>> Stitch()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    needs_partner = True

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.stitch(x, other=other, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        check_least_side(height, width, 2, "stitch")


@NEGATIVES.register_module()
class Mixup(Negative):
    """Blend each image with another one, see :func:`nda_mm.functional.mixup`.

    Args:
        alpha: Concentration of the shares around 1/2, positive. Defaults to 25.
        min_share: Minimum share of either image, in ``[0.05, 0.5]``. Defaults to 0.1.

    Example:
        >>> Mixup()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    needs_partner = True

    def __init__(self, alpha: float = 25.0, min_share: float = 0.1) -> None:
        super().__init__()
        self.alpha, self.min_share = mixing.check_mixup(alpha, min_share)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.mixup(x, self.alpha, min_share=self.min_share, other=other, generator=generator)


@NEGATIVES.register_module()
class CutMix(Negative):
    """Fill a box with the same region of another image, see :func:`nda_mm.functional.cutmix`.

    Args:
        beta: Concentration of the area share around 1/2, positive. Defaults to 1, the uniform distribution.
        min_area: Minimum share of the area that either image keeps, in ``[1/64, 0.5]``. Defaults to 0.1.

    Example:
        >>> CutMix()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    needs_partner = True

    def __init__(self, beta: float = 1.0, min_area: float = 0.1) -> None:
        super().__init__()
        self.beta = check_positive(beta, "beta")
        self.min_area = mixing.check_min_area(min_area)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.cutmix(x, self.beta, self.min_area, other=other, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        mixing.check_box_sides(self.min_area, height, width)


@NEGATIVES.register_module()
class Cutout(Negative):
    """Fill a square with its mean color, see :func:`nda_mm.functional.cutout`.

    Args:
        size: Bounds of the side as fractions of the shorter image side, within ``[1/8, 1]``. Defaults to
            (0.3125, 0.625).

    Example:
        >>> Cutout()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, size: tuple[float, float] = (0.3125, 0.625)) -> None:
        super().__init__()
        self.size = mixing.check_cutout_size(size)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.cutout(x, self.size, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        mixing.check_sides(self.size, height, width)


@NEGATIVES.register_module()
class Rotate(Negative):
    """Rotate each image and zoom in to cover the frame, see :func:`nda_mm.functional.rotate`.

    Args:
        degrees: Angle or its bounds, at least 5 degrees from a full turn. Defaults to (30, 330).

    Example:
        >>> Rotate()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, degrees: float | tuple[float, float] = (30.0, 330.0)) -> None:
        super().__init__()
        self.degrees = geometry.check_degrees(degrees)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.rotate(x, self.degrees, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        check_least_side(height, width, 2, "rotate")


@NEGATIVES.register_module()
class Shift(Negative):
    """Shift each image circularly, see :func:`nda_mm.functional.shift`.

    Args:
        share: Bounds of the distances as fractions of the height and width, within ``[1/16, 15/16]``. Defaults to
            (0.3125, 0.75).

    Example:
        >>> Shift()(torch.rand(4, 3, 8, 8)).shape
        torch.Size([4, 3, 8, 8])
    """

    def __init__(self, share: tuple[float, float] = (0.3125, 0.75)) -> None:
        super().__init__()
        self.share = geometry.check_share(share)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.shift(x, self.share, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        geometry.check_distances(self.share, height)
        geometry.check_distances(self.share, width)


@NEGATIVES.register_module()
class ShuffleFrames(Negative):
    """Shuffle the frames of each clip, see :func:`nda_mm.functional.shuffle_frames`.

    Args:
        chunks: Number of runs of equal length to cut each clip into, at least 2. Defaults to None: single frames.

    Example:
        >>> ShuffleFrames()(torch.rand(2, 3, 4, 8, 8)).shape
        torch.Size([2, 3, 4, 8, 8])
    """

    reorders_frames = True

    def __init__(self, chunks: int | None = None) -> None:
        super().__init__()
        self.chunks = None if chunks is None else geometry.check_chunk_count(chunks)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return F.shuffle_frames(x, self.chunks, generator=generator)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        if frames is not None:
            geometry.check_chunks(self.chunks, frames)


@NEGATIVES.register_module()
class TurnPoints(Negative):
    """Rotate points around the origin by a fixed angle, to the left or to the right with equal probability.

    For data on a ring: half the angle between neighboring modes puts every point into a gap. As in all negative
    augmentation, the negative is made from the sample, and keeps what a rotation keeps: the distance from the center
    and the spread around the mode.

    Source:
        The negatives between the modes of a mixture of Gaussians follow Sinha et al., "Negative Data Augmentation",
        ICLR 2021, https://arxiv.org/abs/2102.05113.

    Args:
        degrees: Angle between 5 and 355. Defaults to 22.5, half the angle between eight modes.

    Shape:
        ``(B, 1, 1, 2)``, floating: points as images of one row and two columns, as in ``nda_mm.ToyGaussians``.

    Raises:
        TypeError: If the angle is not a number.
        ValueError: If the angle is out of range, or the input does not consist of points.

    Example:
        >>> turned = TurnPoints(90)(torch.tensor([[[[1.0, 0.0]]]]))
        >>> turned.abs().round(decimals=4).tolist()
        [[[[0.0, 1.0]]]]
    """

    def __init__(self, degrees: float = 22.5) -> None:
        super().__init__()
        self.degrees = check_within(degrees, "degrees", geometry.LEAST_DEGREES, 360 - geometry.LEAST_DEGREES)

    def make(self, x: Tensor, other: Tensor | None, generator: torch.Generator | None) -> Tensor:
        check_batch(x, generator)
        if x.ndim != 4 or not x.is_floating_point():
            raise ValueError(f"points must be floating tensors (B, 1, 1, 2), but got {x.dtype} {tuple(x.shape)}")
        self.check_size(*x.shape[-2:])
        side = 2 * torch.randint(2, x.shape[:-1], device=x.device, generator=generator) - 1
        angle = math.radians(self.degrees)
        cosine, sine = math.cos(angle), side * math.sin(angle)
        across, up = x.unbind(dim=-1)
        return torch.stack([cosine * across - sine * up, sine * across + cosine * up], dim=-1).to(x.dtype)

    def check_size(self, height: int, width: int, frames: int | None = None) -> None:
        if (height, width) != (1, 2):
            raise ValueError(f"points must be images of one row and two columns, but got {height}x{width}; use Rotate")
