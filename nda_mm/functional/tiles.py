"""Negatives that rearrange parts: jigsaw (tiles), stitch (halves of two images), tilemix (tiles of others), patches."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .checks import check_batch, check_interval, check_least_side
from .layout import Boxes, apply_boxes, spatial_view
from .sampling import draw_partners, random_integers, random_others, random_permutations


def jigsaw(x: Tensor, grid: int | tuple[int, int] = 2, *, generator: torch.Generator | None = None) -> Tensor:
    """Cut each image into tiles and shuffle them.

    Each sample draws its own permutation, never the identity, with all ``n! - 1`` others equally likely; all frames of
    a clip share it. Tiles with equal content cannot be told apart: an image of one color, or a texture that repeats
    from tile to tile, comes out unchanged and is not a negative.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (jigsaw, 2 x 2).

    Args:
        x: Batch of images or clips; any floating dtype or uint8.
        grid: Number of tiles in each direction, or ``(rows, columns)``; must divide the image size. Defaults to 2.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If ``grid`` is not an int or a pair of ints, or the dtype is not supported.
        ValueError: If the grid has a single tile or does not divide the image size, or the shape is wrong.

    Example:
        >>> x = torch.arange(4.0).view(1, 1, 2, 2)
        >>> bool((jigsaw(x) == x).all())
        False
    """
    check_batch(x, generator)
    rows, columns = check_grid(grid, x.shape[-2], x.shape[-1])
    permutation = random_permutations(x.shape[0], rows * columns, device=x.device, generator=generator)
    return apply_tiles(x, permutation, (rows, columns))


def tilemix(x: Tensor, grid: int | tuple[int, int] = 2, *, generator: torch.Generator | None = None) -> Tensor:
    """Compose each image of tiles from other images, each tile at its original position.

    Each tile of each sample draws its image from the rest of the batch. If all tiles would come from one image, the
    result would be real; one tile, chosen at random, then comes from a different image. Tiles with equal content cannot
    be told apart: a batch of equal images gives no negatives.

    Source:
        The negatives of Panda, AAAI 2026, made of patches from other images, each at its original position.

    Args:
        x: Batch of at least three samples; any floating dtype or uint8.
        grid: Number of tiles in each direction, or ``(rows, columns)``; must divide the image size. Defaults to 2.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If ``grid`` is not an int or a pair of ints, or the dtype is not supported.
        ValueError: If the grid has a single tile or does not divide the image size, the shape is wrong, or there are
            fewer than three samples.

    Example:
        >>> x = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 2, 2)
        >>> mixed = tilemix(x)  # image 0 consists of tiles of 1 and of 2
        >>> sorted(mixed[0].unique().tolist())
        [1.0, 2.0]
    """
    check_batch(x, generator)
    rows, columns = check_grid(grid, x.shape[-2], x.shape[-1])
    batch = len(x)
    if batch < 3:
        raise ValueError(f"tilemix needs a batch of at least 3 samples, to use two others for each, but got {batch}")
    own = torch.arange(batch, device=x.device)[:, None]
    source = random_others(batch, rows * columns, device=x.device, generator=generator)
    in_place = torch.arange(rows * columns, device=x.device).expand(batch, -1)
    return apply_tiles(x, in_place, (rows, columns), (own + source) % batch)


def apply_tiles(x: Tensor, permutation: Tensor, grid: tuple[int, int], source: Tensor | None = None) -> Tensor:
    """Put tile ``permutation[b, k]`` of sample ``b`` at position ``k``; tiles are counted row by row.

    The rows of a tile are contiguous runs of pixels, so the result is a single gather of such runs: each pixel is read
    once and written once.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        permutation: Indices of tiles, ``(B, rows * columns)``.
        grid: ``(rows, columns)``, which must divide the image size.
        source: Index of the sample that each tile comes from, ``(B, rows * columns)``. Defaults to the sample itself.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Example:
        >>> x = torch.arange(4).view(1, 1, 2, 2)
        >>> apply_tiles(x, torch.tensor([[0, 2, 1, 3]]), (2, 2)).tolist()
        [[[[0, 2], [1, 3]]]]
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    rows, columns = grid
    tile_height, tile_width = height // rows, width // columns
    runs = view.view(-1, tile_width * inner)
    # The index of a run is ((plane * rows + row) * tile_height + line) * columns + column.
    if source is None:
        source = torch.arange(batch, device=x.device).view(batch, 1).expand_as(permutation)
    plane = source.view(batch, 1, rows, 1, columns) * planes + torch.arange(planes, device=x.device).view(-1, 1, 1, 1)
    plane = plane * (height * columns)
    tile = permutation // columns * (tile_height * columns) + permutation % columns
    line = torch.arange(tile_height, device=x.device).view(tile_height, 1) * columns
    index = plane + tile.view(batch, 1, rows, 1, columns) + line
    return restore(runs.index_select(0, index.view(-1)).view(view.shape))


def check_grid(grid: int | tuple[int, int], height: int | None = None, width: int | None = None) -> tuple[int, int]:
    """Return ``grid`` as ``(rows, columns)``, checked against ``height`` and ``width`` if they are given.

    Raises:
        TypeError: If ``grid`` is neither an int nor a pair of ints.
        ValueError: If it has fewer than 2 tiles or does not divide the size; the message lists what would.
    """
    pair = (grid, grid) if isinstance(grid, int) else grid
    if not isinstance(pair, (tuple, list)) or [type(count) for count in pair] != [int, int]:
        raise TypeError(f"grid must be an int or a pair (rows, columns) of ints, but got {grid!r}")
    rows, columns = pair
    if rows < 1 or columns < 1 or rows * columns < 2:
        raise ValueError(f"grid must have at least 2 tiles, but got {grid!r}; use for example grid=2 or (1, 2)")
    for count, size, name in ((rows, height, "height"), (columns, width, "width")):
        if size is not None and size % count:
            fitting = [divisor for divisor in range(1, size + 1) if size % divisor == 0]
            raise ValueError(f"grid {rows} x {columns} does not divide {name} {size}; use one of {fitting}")
    return rows, columns


def stitch(x: Tensor, *, other: Tensor | None = None, generator: torch.Generator | None = None) -> Tensor:
    """Join one half of each image with the other half of another image.

    Each sample draws whether it is split into top and bottom or into left and right, and which half it keeps: four
    equally likely cases. If the size is odd, the bottom or right half is larger by one pixel.

    Source:
        Sinha et al., "Negative Data Augmentation", ICLR 2021, https://arxiv.org/abs/2102.05113 (stitching).

    Args:
        x: Batch of at least two samples; any floating dtype or uint8.
        other: One partner per sample, with the shape of ``x`` but not ``x`` itself. Defaults to another sample of the
            batch (see :func:`~nda_mm.functional.sampling.random_partners`). Joining equal images changes
            nothing, so the result is not a negative.
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is not supported.
        ValueError: If there is a single sample and no ``other``, ``other`` does not fit or is ``x``, or a side is
            shorter than 2 pixels.

    Example:
        >>> x = torch.stack([torch.zeros(1, 4, 4), torch.ones(1, 4, 4)])
        >>> stitch(x).mean((1, 2, 3)).tolist()
        [0.5, 0.5]
    """
    check_batch(x, generator)
    check_least_side(x.shape[-2], x.shape[-1], 2, "stitch")
    partner = draw_partners(x, other, "stitch", generator)
    case = torch.randint(4, (len(x),), device=x.device, generator=generator)
    return apply_boxes(x, half_boxes(case, x.shape[-2], x.shape[-1]), partner)


def half_boxes(case: Tensor, height: int, width: int) -> Boxes:
    """Return the half that comes from the partner: upper in case 0, lower in case 1, left in case 2, right in case 3.

    Args:
        case: ``(B,)`` integers in ``[0, 4)``.
        height: Height of the images.
        width: Width of the images.

    Returns:
        One box per sample.
    """
    return Boxes(
        top=(case == 1) * (height // 2),
        bottom=height - (case == 0) * (height - height // 2),
        left=(case == 3) * (width // 2),
        right=width - (case == 2) * (width - width // 2),
    )


def patches(
    x: Tensor, size: tuple[float, float] = (16 / 224, 72 / 224), *, generator: torch.Generator | None = None
) -> Tensor:
    """Tile each image with square crops from random positions of the same image.

    Each sample draws the side of its patches, and each patch its position, uniform over the image; patches may overlap.
    The first patch never comes from its own position, so that the image is never rebuilt. Only its texture remains.
    An image of one color comes out unchanged and is not a negative.

    Source:
        Ge et al., "Robust Contrastive Learning Using Negative Samples with Diminished Semantics", NeurIPS 2021,
        https://arxiv.org/abs/2110.14189 (patch-based negatives: sides of 16 to 72 of 224 pixels).

    Args:
        x: Batch of images or clips; any floating dtype or uint8.
        size: Bounds of the side as fractions of the shorter image side, within ``[1/64, 1/2]``. The side is never
            below 2 pixels. Defaults to (16 / 224, 72 / 224).
        generator: Random generator on the device of ``x``. Defaults to torch's default generator.

    Shape:
        ``(B, C, H, W)`` or ``(B, C, T, H, W)``; the output has the same shape. Frames of a clip share the positions.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.

    Raises:
        TypeError: If the dtype is not supported, or ``size`` is not a pair of numbers.
        ValueError: If ``size`` is out of range, or a side of the images is below 4 pixels.

    Example:
        >>> x = torch.arange(64.0).view(1, 1, 8, 8)
        >>> made = patches(x, size=(0.5, 0.5))  # four patches of 4 x 4
        >>> steps = made[0, 0, 1:4] - made[0, 0, :3]  # within a patch, rows follow each other as in the image
        >>> steps.unique().tolist()
        [8.0]
    """
    check_batch(x, generator)
    batch, height, width = len(x), x.shape[-2], x.shape[-1]
    least, most = check_patch_sides(size, height, width)
    side = random_integers(least, most, batch, like=x, generator=generator)
    # As many patches as the smallest side needs, at uniform positions.
    shape, sides = (batch, -(-height // least), -(-width // least)), side.view(-1, 1, 1)
    top = (torch.rand(shape, device=x.device, generator=generator) * (height + 1 - sides)).long()
    left = (torch.rand(shape, device=x.device, generator=generator) * (width + 1 - sides)).long()
    # The first patch comes from any position but its own.
    across = width + 1 - side
    place = random_integers(1, (height + 1 - side) * across - 1, batch, like=x, generator=generator)
    top[:, 0, 0], left[:, 0, 0] = place // across, place % across
    return apply_patches(x, side, top, left)


def apply_patches(x: Tensor, side: Tensor, top: Tensor, left: Tensor) -> Tensor:
    """Cover each sample row by row with square patches from given positions of itself; the last ones are cut off.

    Args:
        x: ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
        side: Side of the patches of each sample, ``(B,)``.
        top: First row of each patch, ``(B, rows, columns)``, with enough patches to cover the image.
        left: First column of each patch, ``(B, rows, columns)``.

    Returns:
        A new tensor with the shape, dtype, device and memory format of ``x``.
    """
    view, restore = spatial_view(x)
    batch, planes, height, width, inner = view.shape
    sample = torch.arange(batch, device=x.device).view(-1, 1, 1)
    side = side.view(-1, 1, 1)
    row = torch.arange(height, device=x.device).view(1, -1, 1)
    column = torch.arange(width, device=x.device).view(1, 1, -1)
    patch = (sample, row // side, column // side)
    source = (top[patch] + row % side) * width + left[patch] + column % side
    index = source.view(batch, 1, -1, 1).expand(batch, planes, -1, inner)
    return restore(view.flatten(2, 3).gather(2, index).view(view.shape))


def check_patch_sides(size: tuple[float, float], height: int, width: int) -> tuple[int, int]:
    """Return the minimum and maximum side of a patch in pixels.

    Raises:
        TypeError: If ``size`` is not a pair of numbers.
        ValueError: If ``size`` is outside [1/64, 1/2], or the shorter side is below 4 pixels.
    """
    low, high = check_patch_size(size)
    check_least_side(height, width, 4, "patches")
    short = min(height, width)
    least = max(2, math.floor(low * short + 0.5))
    return least, max(least, math.floor(high * short + 0.5))


def check_patch_size(size: tuple[float, float]) -> tuple[float, float]:
    """Return ``size`` as two floats, or raise TypeError or ValueError."""
    return check_interval(size, "size", 1 / 64, 0.5)
